"""A sweep in ComfyUI's own executor: what an interrupt keeps is saved by the nodes behind it, and not taken for all."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rigs.host import ROOT
from rigs.progress import cancel_at, progress_hook
from rigs.workflows import Done, WorkflowRunner

STEPS = 2
CELLS = 4


@pytest.fixture(scope="module")
def runner(pack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkflowRunner]:
    with WorkflowRunner(pack, tmp_path_factory.mktemp("comfyui")) as running:
        yield running


@pytest.fixture
def prompt() -> dict[str, dict]:
    """The template with two values an axis, and its single pictures saved too."""
    graph = json.loads((ROOT / "workflows" / "api" / "starter_sweep.json").read_text(encoding="utf-8"))
    for node in graph.values():
        if node["class_type"] == "GCFG_SweepAxis":
            node["inputs"]["values"] = "1, 3"
    sweep = next(key for key, node in graph.items() if node["class_type"] == "GCFG_Sweep")
    inputs = {"images": [sweep, 1], "filename_prefix": "single"}
    return graph | {"single": {"class_type": "SaveImage", "inputs": inputs}}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def saved(done: Done) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(grids, single pictures)."""
    single = [path for path in done.images if path.name.startswith("single")]
    return [pixels(path) for path in done.images if path not in single], [pixels(path) for path in single]


def test_an_interrupted_sweep_saves_what_is_done_and_is_whole_the_next_time(
    runner: WorkflowRunner, prompt: dict[str, dict]
) -> None:
    with progress_hook(cancel_at(2 * STEPS + 1)):
        part = runner.run(prompt, STEPS)
    again = runner.run(prompt, STEPS)
    (cut,), two = saved(part)
    (whole,), four = saved(again)
    assert len(two) == 2 and len(four) == CELLS
    assert len(again.traces) == CELLS, "the pictures that were done are taken for all"
    assert all(np.array_equal(*pair) for pair in zip(two, four, strict=False))
    assert cut.shape == whole.shape and not np.array_equal(cut, whole)
    assert not runner.run(prompt, STEPS).traces, "a whole sweep is sampled again"


def test_an_interrupt_before_the_first_picture_stops_the_prompt(
    runner: WorkflowRunner, prompt: dict[str, dict]
) -> None:
    _sweep(prompt)["seed"] = 1
    before = list(runner.base.glob("output/**/*.png"))
    with progress_hook(cancel_at(STEPS)), pytest.raises(RuntimeError, match="interrupted"):
        runner.run(prompt, STEPS)
    assert list(runner.base.glob("output/**/*.png")) == before


def test_another_sweep_of_the_prompt_is_not_sampled_again(runner: WorkflowRunner, prompt: dict[str, dict]) -> None:
    """Only the one that was interrupted."""
    first, other = _sweep(prompt), next(key for key, node in prompt.items() if node["class_type"] == "GCFG_Sweep")
    first["seed"] = 2
    prompt["second"] = copy.deepcopy(prompt[other])
    prompt["second"]["inputs"]["seed"] = 3
    inputs = {"images": ["second", 0], "filename_prefix": "second"}
    prompt["second grid"] = {"class_type": "SaveImage", "inputs": inputs}
    runner.run({key: node for key, node in prompt.items() if not key.startswith("second")}, STEPS)
    with progress_hook(cancel_at(STEPS + 1)):
        part = runner.run(prompt, STEPS)
    assert len(part.traces) == 2, "the first sweep is cached, the second one interrupted at its second picture"
    assert len(runner.run(prompt, STEPS).traces) == CELLS


def _sweep(prompt: dict[str, dict]) -> dict[str, Any]:
    """The inputs of the template's GCFG Sweep."""
    return next(node["inputs"] for node in prompt.values() if node["class_type"] == "GCFG_Sweep")
