"""Every example workflow runs, means what its note says, and is the same graph in both formats."""

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfyui_version
import numpy as np
import pytest
from PIL import Image

from devtools import runtime
from rigs.expected_workflows import EXPECTED
from rigs.host import ROOT
from rigs.saved_graph import NOTES, declared, group_box, node_box, prompt_of, real_nodes
from rigs.workflows import WorkflowRunner

FOLDER = ROOT / "workflows"
API = FOLDER / "api"
STEPS, SIZE, STARTER_SIZE = 4, 64, 256
NAMES = tuple(EXPECTED)
WIDEST = ("starter_inpainting", "starter_report", "starter_sweep", "starter_two_stages", "two_stages")


@pytest.fixture(scope="module")
def runner(pack, tmp_path_factory) -> Iterator[WorkflowRunner]:
    with WorkflowRunner(pack, tmp_path_factory.mktemp("comfyui")) as running:
        yield running


def prompt(name: str) -> dict[str, dict]:
    return json.loads((API / f"{name}.json").read_text(encoding="utf-8"))


def graph(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_every_workflow_is_there_in_both_formats_with_a_thumbnail():
    for folder, ending in ((FOLDER, ".json"), (API, ".json"), (FOLDER, ".jpg")):
        assert {path.stem for path in folder.glob(f"*{ending}")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_runs_and_means_what_it_says(runner, name):
    expected = EXPECTED[name]
    done = runner.run(prompt(name), STEPS, SIZE)
    assert [trace.formula for trace in done.traces] == list(expected.formulas)
    assert done.traces[-1].terms == expected.labels
    assert done.evaluations == list(expected.evaluations)
    besides = sum(done.chunks) - sum(map(sum, expected.evaluations))
    assert besides in (0, expected.before), "the networks were asked more or less than that"
    for formula in [expected.shown] if expected.shown else expected.formulas:
        assert any(text.startswith(formula) for text in done.texts), f"no node shows {formula}"
    (path,) = done.images
    side = STARTER_SIZE if name.startswith("starter_") else SIZE
    with Image.open(path) as image:
        if expected.cells == (1, 1):
            assert image.size == (side, side)
        else:  # with labels around the pictures
            assert all(2 * whole > count * side for whole, count in zip(image.size, expected.cells, strict=True))
        assert getattr(image, "n_frames", 1) == expected.frames
    assert pixels(path).std() > 2, "the picture is flat"


def test_plain_cfg_is_ksampler(runner):
    """The promise of its note."""
    guided = prompt("plain_cfg")
    plain = copy.deepcopy(guided)
    (sampler,) = (key for key, node in plain.items() if node["class_type"] == "GCFG_Sampler")
    (term,) = (key for key, node in plain.items() if node["class_type"] == "GCFG_GuidanceTerm")
    own, positive = plain[sampler]["inputs"], plain.pop(term)["inputs"]["positive"]
    inputs = {
        key: own[key] for key in ("model", "latent_image", "seed", "steps", "sampler_name", "scheduler", "denoise")
    }
    inputs |= {"positive": positive, "negative": own["conditioning"], "cfg": 7.0}
    plain[sampler] = {"class_type": "KSampler", "inputs": inputs}
    for which, each in (("gcfg", guided), ("core", plain)):
        next(n for n in each.values() if n["class_type"] == "SaveImage")["inputs"]["filename_prefix"] = which
    (one,), (other,) = runner.run(guided, STEPS, SIZE).images, runner.run(plain, STEPS, SIZE).images
    assert np.array_equal(pixels(one), pixels(other))


def test_inpainting_keeps_what_is_not_painted(runner):
    """The loaded picture's right half is transparent, which is its mask: only that half may change.

    Beside the mask's edge the decoder mixes both halves, hence the larger picture.
    """
    size = 3 * SIZE
    base = prompt("inpainting")
    (sampler,) = (key for key, node in base.items() if node["class_type"] == "GCFG_Sampler")
    pictures = []
    for seed in (1, 2):
        each = copy.deepcopy(base)
        each[sampler]["inputs"]["seed"] = seed
        next(n for n in each.values() if n["class_type"] == "SaveImage")["inputs"]["filename_prefix"] = f"seed{seed}"
        pictures.append(pixels(runner.run(each, 2, size).images[0]))
    difference = np.abs(pictures[0] - pictures[1]).mean(axis=(0, 2))
    assert difference[: size // 8].max() < 1 < difference[-size // 4 :].min()


@pytest.mark.skipif(
    comfyui_version.__version__ != runtime.VERSION, reason=f"the files are built with ComfyUI {runtime.VERSION}"
)
def test_files_are_what_the_definitions_build(pack):
    from tools.workflows.files import contents

    for path, text in contents().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is old: run python -m tools.workflows"


@pytest.mark.parametrize("name", NAMES)
def test_both_formats_are_one_prompt(pack, name):
    queued = {key: {"class_type": node["class_type"], "inputs": node["inputs"]} for key, node in prompt(name).items()}
    assert prompt_of(graph(name)) == queued


@pytest.mark.parametrize("name", NAMES)
def test_only_core_nodes_and_ours(pack, name):
    for node in real_nodes(graph(name)):
        module = declared(node["type"]).module
        ours = node["type"].startswith("GCFG_")
        assert ours or module == "nodes" or module.startswith("comfy_extras."), f"{node['type']} is in {module}"
        assert node["properties"]["cnr_id"] == ("comfyui-gcfg" if ours else "comfy-core")
        assert node["properties"]["Node name for S&R"] == node["type"]


@pytest.mark.parametrize("name", NAMES)
def test_links_fit_the_nodes(pack, name):
    saved = graph(name)
    nodes = {node["id"]: node for node in saved["nodes"]}
    assert len(nodes) == len(saved["nodes"]) and max(nodes) == saved["last_node_id"]
    assert [link[0] for link in saved["links"]] == list(range(1, saved["last_link_id"] + 1))
    for identity, origin, slot, target, place, kind in saved["links"]:
        giver, taker = nodes[origin]["outputs"][slot], nodes[target]["inputs"][place]
        assert identity in giver["links"] and taker["link"] == identity
        assert giver["type"] == taker["type"] == kind
    for node in real_nodes(saved):
        kinds = declared(node["type"])
        outputs = [output["type"] for output in node["outputs"]]
        assert outputs == kinds.outputs[: len(outputs)]
        entries = {entry["name"]: entry for entry in node["inputs"]}
        assert {key: entry["type"] for key, entry in entries.items()} == {key: kinds.inputs[key][0] for key in entries}
        linked = {key for key, entry in entries.items() if entry["link"] is not None}
        assert {key for key in kinds.required if not kinds.is_widget(key)} <= linked, "a required input is open"
        assert set(kinds.widget_names) <= set(entries)
    fed = [entry["link"] for node in saved["nodes"] for entry in node["inputs"] if entry["link"] is not None]
    assert sorted(fed) == sorted(link[0] for link in saved["links"])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps(name):
    saved = graph(name)
    boxes = {node["id"]: node_box(node) for node in saved["nodes"]}
    frames = [group_box(group) for group in saved["groups"]]
    for one, other in itertools.combinations(boxes.values(), 2):
        assert not one.meets(other)
    for one, other in itertools.combinations(frames, 2):
        assert not one.meets(other)
    for node in saved["nodes"]:
        holders = [frame for frame in frames if frame.holds(boxes[node["id"]])]
        assert len(holders) == (0 if node["type"] in NOTES else 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_in_sight_when_it_is_opened(name):
    """In a window of 1600 x 1000: ComfyUI draws no picture of a node that is out of sight. Below a scale of 0.571 it
    leaves out all text, so the widest graphs are not seen whole."""
    saved = graph(name)
    scale, (right, down) = saved["extra"]["ds"]["scale"], saved["extra"]["ds"]["offset"]
    assert scale > 0.571
    boxes = [node_box(node) for node in saved["nodes"] if node["type"].startswith("Save")]
    assert boxes
    for box in boxes:
        assert name in WIDEST or (box.right + right) * scale <= 1600
        assert (box.top + down) * scale >= 100 and (box.bottom + down) * scale <= 1000


@pytest.mark.parametrize("name", NAMES)
def test_the_note_names_every_file(pack, name):
    saved = graph(name)
    (note,) = (node for node in saved["nodes"] if node["type"] in NOTES)
    (text,) = note["widgets_values"]
    assert "## Files" in text and "## Try" in text
    queued = prompt(name)
    files = {
        value for node in queued.values() for value in node["inputs"].values()
        if isinstance(value, str) and value.endswith((".safetensors", ".ckpt", ".pt"))
    }  # fmt: skip
    assert files or name.startswith("starter_")
    for file in files:
        assert file in text
    for node in real_nodes(saved):
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"]
            assert model["url"].startswith("https://") and model["url"] in text
            assert f"models/{model['directory']}" in text
    named = {model["name"] for node in real_nodes(saved) for model in node["properties"].get("models", [])}
    shipped = {path.name for path in (ROOT / "starter" / "concepts").glob("*.safetensors")}
    assert all(file.startswith("concept_") for file in files - named - shipped), "a public file without its address"


@pytest.mark.parametrize("name", NAMES)
def test_thumbnail_is_small(name):
    path = FOLDER / f"{name}.jpg"
    assert path.stat().st_size <= 40_000
    with Image.open(path) as image:
        assert image.format == "JPEG" and 256 <= max(image.size) <= 400
        assert np.asarray(image).std() > 2
