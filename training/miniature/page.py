"""The page of the experiment's results: what was measured, the plots, and a table of everything."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .settings import SCALE, THRIFTY, WEIGHTS

COLUMNS = {"fd": "FD", "kid": "KID x 1000", "style": "style", "background": "background", "skin": "skin",
           "hair": "hair", "control": "control", "nearest": "nearest", "diversity": "diversity",
           "evaluations": "evaluations a step"}  # fmt: skip

ABOUT = """# The paper in miniature

Pictures sampled in many ways, compared with held-out drawings of *toon*: {count} pictures for each setting and seed,
sampled through ComfyUI (ddim, 25 steps unless it says otherwise). Behind ± is the standard deviation over the seeds,
which share neither prompts nor noise; a row without any was sampled with one seed.

- **FD**: Frechet distance in the features of a classifier trained on this world (lower is nearer). As many of the
  drawings that were trained on have {fd:.2f}.
- **KID x 1000**: kernel distance in EfficientNet's features (lower is nearer). The same drawings have {kid:.1f}.
- **style, background, skin, hair**: share of pictures that the classifier finds in the style of *toon*, and as asked
  for. **control** is the mean of the last three.
- **nearest**: median distance to the nearest drawing that was trained on, relative to that of held-out drawings; copies
  would be near 0. **diversity**: distance of two pictures, relative to that of two held-out drawings.
- **fine-tuned**: the base's UNet trained on the pictures of *toon*, with a caption for each, or without captions: with
  the empty one for all.
- **GCFG a, b**: weight a on the concept model's difference, b on the prompt's; "to 75 %" and the like: until that share
  of sampling. Under *cost* the weights are {thrifty[0]:g} and {thrifty[1]:g}; under *ablation* and *length*
  {weights[0]:g} and {weights[1]:g}, and CFG {scale:g}.
- **NAME@STEPS**: a model after so many steps of training; else the one that comes with the pack. Under *ablation* the
  concept was trained on 50 or 200 of the 1500 pictures (toon_of_50, toon_of_200), its constants were those of one
  picture (toon_constants_of_1), or it is a UNet with cross-attention and the empty caption (toon_same_caption).

`python dev.py bench miniature` does it again. Rows whose models do not come with the pack need
`python -m training.miniature train` first.

"""


def page(facts: Mapping[str, Any], summary: Sequence[Mapping[str, Any]], pictures: Iterable[Path]) -> str:
    """The whole page, as Markdown.

    Args:
        facts: "count" of pictures of each setting, "floor" with the real pictures' "fd" and "kid".
        summary: as `rows.over_seeds` gives it.
        pictures: that lie beside the page.
    """
    floor = facts["floor"]
    shown = "".join(f"![{path.stem.replace('_', ' ')}]({path.name})\n\n" for path in pictures)
    about = ABOUT.format(
        count=facts["count"], fd=floor["fd"], kid=1000.0 * floor["kid"], thrifty=THRIFTY, weights=WEIGHTS, scale=SCALE
    )
    return about + shown + table(summary)


def table(summary: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row a setting, with the standard deviation over the seeds where there are several."""
    lines = ["| setting | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    group = None
    for row in summary:
        if row["group"] != group:
            group = row["group"]
            lines.append(f"| **{group}** |" + " |" * len(COLUMNS))
        lines.append(f"| {row['name']} | " + " | ".join(_cell(row, number) for number in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any], number: str) -> str:
    scale = 1000.0 if number == "kid" else 1.0
    digits = {"fd": 2, "kid": 1}.get(number, 2 if number == "evaluations" else 3)
    value, deviation = scale * row[number], scale * row[f"{number}_std"]
    told = f"{value:.{digits}f}"
    return told if row["seeds"] < 2 or number == "evaluations" else f"{told} ± {deviation:.{digits}f}"
