"""The results page of the experiment: explanations, plots and tables."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gcfg_core import markdown

from .settings import SCALE, THRIFTY, UNSHOWN, WEIGHTS

COLUMNS = {"fd": "FD", "kid": "KID x 1000", "style": "style", "background": "background", "skin": "skin",
           "hair": "hair", "control": "control", "nearest": "nearest", "diversity": "diversity",
           "evaluations": "evaluations a step"}  # fmt: skip
GLASSES_COLUMNS = {"worn_asked": "glasses where asked for", "worn_unasked": "where not", "glasses": "as asked",
                   "style": "style",
                   "control": "control", "fd": "FD", "kid": "KID x 1000",
                   "evaluations": "evaluations a step"}  # fmt: skip

ABOUT = """# All results of the paper in miniature

[What the experiment shows](README.md) has the rows that matter, with pictures; this page has everything measured:
pictures sampled in many ways, compared with held-out drawings of *toon*, {count} pictures for each setting and seed,
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
- **GCFG a, b**: weight a on the concept model's difference, b on the prompt's. "to 75 %" and the like: the prompt's
  difference until that share of sampling. Under *cost* the weights are {thrifty[0]:g} and {thrifty[1]:g}; under
  *ablation* and *length* {weights[0]:g} and {weights[1]:g}, and CFG {scale:g}.
- **NAME@STEPS**: a model after so many steps of training; else the one that comes with the pack. Under *ablation* the
  concept was trained on 50 or 200 of the 1500 pictures (toon_of_50, toon_of_200), its constants were those of one
  picture (toon_constants_of_1), or it is a UNet with cross-attention and the empty caption (toon_same_caption).
- **glasses**: none of the concept's drawings shows any, the base knows them. Every second prompt asks for them; another
  classifier tells which pictures show some. It learned that from other styles and from *toon* drawings with spectacles
  drawn over them; of held-out ones it finds {found:.1%}, and imagines some on {imagined:.1%} of those without. It can
  take what strong guidance leaves around the eyes for glasses, which the share where nobody asked for any tells.
  **as asked** is the mean of the share where asked for and the share without where not: 0.5 where the word does
  nothing. FD and KID stay those to drawings without glasses. The drawings that were trained on, with spectacles drawn
  over every second one, have {fd_worn:.2f} and {kid_worn:.1f}.

`python dev.py bench miniature` does it again. Rows whose models do not come with the pack need
`python -m training.miniature train` first.

"""


def page(facts: Mapping[str, Any], summary: Sequence[Mapping[str, Any]], pictures: Iterable[Path]) -> str:
    """Return the page as Markdown.

    Args:
        facts: "count" of pictures per setting, "floor" and "floor_with_glasses" with the real pictures' "fd" and "kid",
            and the judge's "glasses_found" and "glasses_imagined".
        summary: from `rows.over_seeds`.
        pictures: picture files beside the page.
    """
    floor = facts["floor"]
    shown = "".join(f"![{path.stem.replace('_', ' ')}]({path.name})\n\n" for path in pictures)
    about = ABOUT.format(
        count=facts["count"], fd=floor["fd"], kid=1000.0 * floor["kid"], thrifty=THRIFTY, weights=WEIGHTS, scale=SCALE,
        found=facts["glasses_found"], imagined=facts["glasses_imagined"], fd_worn=facts["floor_with_glasses"]["fd"],
        kid_worn=1000.0 * facts["floor_with_glasses"]["kid"],
    )  # fmt: skip
    return about + shown + tables(summary)


def tables(summary: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables as Markdown; rows of prompts that ask for glasses have a table of their own."""
    others, glasses = ([row for row in summary if (row["group"] == UNSHOWN) == asked] for asked in (False, True))
    both = ((others, COLUMNS), (glasses, GLASSES_COLUMNS))
    return "\n".join(_table(rows, columns) for rows, columns in both if rows)


def _table(summary: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Return a table with a row per setting, and the standard deviation if there are several seeds."""
    lines = [markdown.head(("setting", *columns.values()))]
    group = None
    for row in summary:
        if row["group"] != group:
            group = row["group"]
            lines.append(f"| **{group}** |" + " |" * len(columns))
        lines.append(markdown.row((row["name"], *(_cell(row, number) for number in columns))))
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any], number: str) -> str:
    scale = 1000.0 if number == "kid" else 1.0
    digits = {"fd": 2, "kid": 1}.get(number, 2 if number == "evaluations" else 3)
    value, deviation = scale * row[number], scale * row[f"{number}_std"]
    text = f"{value:.{digits}f}"
    return text if row["seeds"] < 2 or number == "evaluations" else f"{text} ± {deviation:.{digits}f}"
