"""README's table of the experiment in miniature says what was measured."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "starter" / "results" / "results.json").read_text(encoding="utf-8"))
MEASURED = {
    "base model, CFG 3": "base, CFG 3",
    "concept model alone": "concept alone",
    "base fine-tuned with captions, 4000 steps, CFG 2": "fine-tuned, CFG 2",
    "base fine-tuned without captions, 4000 steps, CFG 2": "fine-tuned without captions, CFG 2",
    "GCFG 2.5, 2.5, the paper's weights": "GCFG 2.5, 2.5",
    "GCFG 1.25, 3": "everything, always",
    "GCFG 1.25, 3, prompt to 75 %": "GCFG 1.25, 3 to 75 %",
    "GCFG 1.25, 6, prompt to 75 %": "GCFG 1.25, 6 to 75 %",
    "GCFG 1.25, 3, prompt to 50 %, both every 2nd step (`starter_for_less`)": "control before 50 %, each 2nd step",
}


def table() -> dict[str, list[str]]:
    """Rows of README's table by their label."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## The paper in miniature")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {label: cells for label, *cells in rows[2:]}


@pytest.mark.parametrize("label", MEASURED)
def test_a_row_says_what_was_measured(label: str) -> None:
    row = next(one for one in RESULTS["summary"] if one["name"] == MEASURED[label])
    fd, kid = (f"{row[name]:.{digits}f} ± {row[f'{name}_std']:.{digits}f}" for name, digits in (("fd", 1), ("kid", 3)))
    assert table()[label][1:] == [f"{row['evaluations']:g}", fd, kid, f"{row['control']:.3f}"]
    assert row["seeds"] == 3


def test_every_row_is_measured_and_beside_what_real_drawings_have() -> None:
    label, *others = table()
    assert label == "real drawings" and set(others) == set(MEASURED)
    assert [float(cell) for cell in table()[label][2:4]] == [
        round(RESULTS["floor"]["fd"], 1),
        round(RESULTS["floor"]["kid"], 3),
    ]
