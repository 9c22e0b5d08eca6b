"""The tables of the experiment in miniature, on its page and on README.md, say what was measured."""

import json
import re
from pathlib import Path

import pytest

from training.miniature.page import page

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "starter" / "results" / "results.json").read_text(encoding="utf-8"))
MEASURED = {  # label of a row: setting
    "base model, CFG 3": "base, CFG 3",
    "concept model alone": "concept alone",
    "base fine-tuned with captions, 4000 steps, CFG 2": "fine-tuned, CFG 2",
    "base fine-tuned without captions, 4000 steps, CFG 2": "fine-tuned without captions, CFG 2",
    "base fine-tuned without captions, 1000 steps, CFG 1.5": "fine-tuned without captions after 1000 steps",
    "GCFG 2.5, 2.5, the paper's weights": "GCFG 2.5, 2.5",
    "GCFG 1.25, 3": "everything, always",
    "GCFG 1.25, 3, prompt to 75 %": "GCFG 1.25, 3 to 75 %",
    "GCFG 1.25, 6, prompt to 75 %": "GCFG 1.25, 6 to 75 %",
    "GCFG 1.25, 3, prompt to 50 %, both every 2nd step (`starter_for_less`)": "control before 50 %, each 2nd step",
}


WITH_GLASSES = {
    "base model, CFG 3": "base, CFG 3, glasses",
    "fine-tuned with captions, CFG 2": "fine-tuned, CFG 2, glasses",
    "fine-tuned with captions, CFG 8": "fine-tuned, CFG 8, glasses",
    "fine-tuned with captions, CFG 16": "fine-tuned, CFG 16, glasses",
    "fine-tuned with captions, CFG 16 to 90 %": "fine-tuned, CFG 16 to 90 %, glasses",
    "fine-tuned without captions, CFG 2": "fine-tuned without captions, CFG 2, glasses",
    "fine-tuned without captions, CFG 8": "fine-tuned without captions, CFG 8, glasses",
    "GCFG 1.25, 3, prompt to 75 %": "GCFG 1.25, 3 to 75 %, glasses",
    "GCFG 1.25, 9, prompt to 75 %": "GCFG 1.25, 9 to 75 %, glasses",
    "GCFG 1.25, 3, prompt to 90 %": "GCFG 1.25, 3 to 90 %, glasses",
    "GCFG 1.25, 5, prompt to 90 %": "GCFG 1.25, 5 to 90 %, glasses",
    "GCFG 1.25, 7, prompt to 90 %": "GCFG 1.25, 7 to 90 %, glasses",
    "GCFG 1.25, 9, prompt to 90 %": "GCFG 1.25, 9 to 90 %, glasses",
    "GCFG 1.5, 7": "GCFG 1.5, 7, glasses",
    "GCFG 2.5, 2.5, the paper's weights": "GCFG 2.5, 2.5, glasses",
}


def tables(path: str = "starter/results/README.md") -> list[dict[str, list[str]]]:
    """Each of a page's tables: cells by the row's label."""
    blocks = [block.splitlines() for block in read(path).split("\n\n") if block.lstrip().startswith("|")]
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in block if line] for block in blocks]
    return [{label: cells for label, *cells in block[2:]} for block in rows]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def measured(name: str) -> tuple[dict[str, float], list[str]]:
    """What was measured of a setting, and its cells for evaluations, FD and KID."""
    row = next(one for one in RESULTS["summary"] if one["name"] == name)
    assert row["seeds"] == 3
    fd, kid = (f"{row[key]:.{digits}f} ± {row[f'{key}_std']:.{digits}f}" for key, digits in (("fd", 1), ("kid", 3)))
    return row, [f"{row['evaluations']:g}", fd, kid]


@pytest.mark.parametrize("label", MEASURED)
def test_a_row_says_what_was_measured(label: str) -> None:
    row, cells = measured(MEASURED[label])
    assert tables()[0][label][1:] == [*cells, f"{row['control']:.3f}"]


@pytest.mark.parametrize("label", WITH_GLASSES)
def test_a_row_of_prompts_with_glasses_says_what_was_measured(label: str) -> None:
    row, cells = measured(WITH_GLASSES[label])
    assert tables()[1][label] == [*cells, *(f"{row[name]:.2f}" for name in ("style", "worn_asked", "worn_unasked"))]


def test_every_row_is_measured_and_beside_what_real_drawings_have() -> None:
    (first, *others), (first_with_glasses, *others_with_glasses) = tables()
    assert set(others) == set(MEASURED) and set(others_with_glasses) == set(WITH_GLASSES)
    assert tables()[0][first][2:4] == real("floor") and first == "real drawings"
    assert tables()[1][first_with_glasses][1:3] == real("floor_with_glasses")


def real(floor: str) -> list[str]:
    """The cells for FD and KID of real drawings."""
    return [f"{RESULTS[floor]['fd']:.1f}", f"{RESULTS[floor]['kid']:.3f}"]


def test_the_page_of_all_results_is_what_the_report_writes_of_them() -> None:
    written = read("starter/results/results.md")
    pictures = [Path(name) for name in re.findall(r"\]\((\w+\.png)\)", written)]
    assert written == page(RESULTS, RESULTS["summary"], pictures)


def of_readme() -> dict[str, list[str]]:
    """README.md's one table of measurements: cells by the row's label."""
    return next(one for one in tables("README.md") if "**pictures**" in one)


def test_readme_says_what_was_measured_of_pictures() -> None:
    labels = list(of_readme())
    pictures, glasses = (labels.index(label) for label in labels if label.startswith("**"))
    assert len(labels[pictures + 1 : glasses]) == 7 and len(labels[glasses + 1 :]) == 3
    for label in labels[pictures + 1 : glasses]:
        row, (evaluations, fd, _) = measured(MEASURED[label])
        result, note = of_readme()[label]
        assert (result, note.split("; ")[1]) == (f"{fd}, {row['control']:.3f}", evaluations), label
    for label in labels[glasses + 1 :]:
        row, (_, fd, _) = measured(WITH_GLASSES[label])
        assert of_readme()[label] == [f"{row['worn_asked']:.2f}, {row['worn_unasked']:.2f}", fd], label


def test_readme_says_of_speed_what_the_page_of_measurements_says() -> None:
    sampling, training = (tables("docs/MEASUREMENTS.md")[at] for at in (0, 2))
    measured_there = [cells[-1] for cells in sampling.values()]
    measured_there.append(training["our trainer: latents cached, null text"][2])
    assert [cells[0] for cells in list(of_readme().values())[:3]] == measured_there
