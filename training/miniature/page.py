"""The page of the experiment's results: what was measured, the plots, and a table of everything."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = {"fd": "FD", "kid": "KID x 1000", "style": "style", "background": "background", "skin": "skin",
           "hair": "hair", "control": "control", "nearest": "nearest", "diversity": "diversity",
           "evaluations": "evaluations a step"}  # fmt: skip

ABOUT = """# The experiment in miniature

Mixed pictures of one concept, measured against its held-out drawings: {count} pictures for each setting and seed,
sampled through ComfyUI (ddim, 25 steps unless it says otherwise). Behind ± is the standard deviation over the seeds;
where it is missing, one seed was sampled.

- **FD**: Frechet distance in the features of a classifier trained on this world (lower is nearer). Other real drawings
  of the concept, as many as are sampled, have {fd:.2f}.
- **KID x 1000**: kernel distance in EfficientNet's features (lower is nearer); other real drawings have {kid:.1f}.
- **style, background, skin, hair**: share of pictures that the classifier finds in the concept's style, and as asked
  for. **control** is the mean of the last three.
- **nearest**: distance to the nearest drawing that was learned from, relative to that of held-out drawings; copies
  would be near 0. **diversity**: distance of two pictures, relative to that of two held-out drawings.
- **fine-tuned**: the base's UNet trained on the concept's pictures, with a caption for each unless it says without.
- **GCFG a, b**: weight a on the concept model's difference, b on the prompt's. NAME@STEPS is a model after so many
  steps of training; without it, the one that comes with the pack.

`python dev.py bench miniature` does it again. Rows whose models do not come with the pack need
`python -m training.miniature train` first.

"""


def page(facts: Mapping[str, Any], summary: Sequence[Mapping[str, Any]], plots: Iterable[Path]) -> str:
    """Markdown.

    Args:
        facts: "count" of pictures of each setting, "floor" with the real pictures' "fd" and "kid".
        summary: as `rows.over_seeds` gives it.
        plots: pictures that lie beside the page.
    """
    floor = facts["floor"]
    shown = "".join(f"![{path.stem.replace('_', ' ')}]({path.name})\n\n" for path in plots)
    return ABOUT.format(count=facts["count"], fd=floor["fd"], kid=1000.0 * floor["kid"]) + shown + table(summary)


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
