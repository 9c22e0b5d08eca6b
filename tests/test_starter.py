"""The models that come with the pack, in ComfyUI: they are found, they mix, and the identities hold on them."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from rigs.host import ROOT
from rigs.workflows import WorkflowRunner

API = ROOT / "workflows" / "api"
STEPS = 6
WORLD = "Miniature world"


@pytest.fixture(scope="module")
def runner(pack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkflowRunner]:
    with WorkflowRunner(pack, tmp_path_factory.mktemp("comfyui")) as running:
        yield running


def prompt(name: str = "concept_and_control") -> dict[str, dict]:
    return json.loads((API / f"starter_{name}.json").read_text(encoding="utf-8"))


def inputs(graph: dict[str, dict], kind: str, **found: Any) -> dict[str, Any]:
    """The inputs of the node of a type, and with these inputs."""
    (node,) = (
        node["inputs"] for node in graph.values()
        if node["class_type"] == kind and all(node["inputs"].get(key) == value for key, value in found.items())
    )  # fmt: skip
    return node


def pixels(runner: WorkflowRunner, graph: dict[str, dict], name: str) -> np.ndarray:
    """The picture of a graph, which is saved under a name of its own: what is saved already is not saved again."""
    inputs(graph, "SaveImage")["filename_prefix"] = name
    (path,) = runner.run(graph, STEPS, 64).images
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def weighted(w_concept: float, w_control: float, words: str = "") -> dict[str, dict]:
    graph = prompt()
    for label, weight in (("concept", w_concept), ("control", w_control)):
        inputs(graph, "GCFG_GuidanceTerm", label=label)["weight"] = weight
    if words:
        next(n["inputs"] for n in graph.values() if n["inputs"].get("text"))["text"] = words
    return graph


def test_the_pack_offers_its_own_models(pack: Any) -> None:
    worlds = pack.node("GCFG_LoadStarterWorld").INPUT_TYPES()["required"]["world"][1]["options"]
    concepts = pack.node("GCFG_LoadConceptModel").INPUT_TYPES()["required"]["concept_name"][1]["options"]
    assert worlds[0] == WORLD
    assert {"toon.safetensors", "pixel.safetensors", "toon_with_text.safetensors"} <= set(concepts)


def test_plain_cfg_is_ksampler(runner: WorkflowRunner) -> None:
    guided = prompt("plain_cfg")
    plain = copy.deepcopy(guided)
    (sampler,) = (key for key, node in plain.items() if node["class_type"] == "GCFG_Sampler")
    (term,) = (key for key, node in plain.items() if node["class_type"] == "GCFG_GuidanceTerm")
    own, positive = plain[sampler]["inputs"], plain.pop(term)["inputs"]["positive"]
    kept = ("model", "latent_image", "seed", "steps", "sampler_name", "scheduler", "denoise")
    settings = {key: own[key] for key in kept} | {"positive": positive, "negative": own["conditioning"], "cfg": 7.0}
    plain[sampler] = {"class_type": "KSampler", "inputs": settings}
    assert np.array_equal(pixels(runner, guided, "gcfg"), pixels(runner, plain, "core"))


def test_the_concept_alone_reads_no_prompt(runner: WorkflowRunner) -> None:
    """At weights 1 and 0 the base cancels: the picture is the concept model's, whatever the base condition says."""
    graphs = [weighted(1.0, 0.0) for _ in range(3)]
    null = next(n["inputs"] for n in graphs[1].values() if n["inputs"].get("text") == "")
    null["text"] = "a face, dark skin, red hair, blue background"
    loader = next(key for key, node in graphs[2].items() if node["class_type"] == "GCFG_LoadConceptModel")
    inputs(graphs[2], "GCFG_Sampler")["model"] = [loader, 0]
    inputs(graphs[2], "GCFG_GuidanceTerm", label="concept")["weight"] = 0.0
    alone, prompted, itself = (pixels(runner, graph, f"alone{i}") for i, graph in enumerate(graphs))
    assert np.array_equal(alone, prompted) and np.abs(alone - itself).max() <= 1


def test_prompts_change_the_picture_and_weights_scale_them(runner: WorkflowRunner) -> None:
    blue = weighted(1.5, 3.0, "a face, dark skin, red hair, blue background")
    green = weighted(1.5, 3.0, "a face, dark skin, red hair, green background")
    assert np.abs(pixels(runner, blue, "blue") - pixels(runner, green, "green")).mean() > 5
    off = [weighted(1.5, 0.0, words) for words in ("a face, blue background", "a face, green background")]
    assert np.array_equal(*(pixels(runner, graph, f"off{i}") for i, graph in enumerate(off)))


def test_negative_words_may_stand_in_the_base_condition(runner: WorkflowRunner) -> None:
    plain, avoiding = weighted(0.0, 3.0), weighted(0.0, 3.0)
    next(n["inputs"] for n in avoiding.values() if n["inputs"].get("text") == "")["text"] = "glasses"
    assert not np.array_equal(pixels(runner, plain, "plain"), pixels(runner, avoiding, "avoiding"))


def test_every_starter_file_is_safetensors_of_format_1() -> None:
    starter = ROOT / "starter"
    for path in [*(starter / "concepts").glob("*.safetensors"), starter / "world" / "unet.safetensors"]:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            assert metadata["gcfg.format"] == "1" and metadata["gcfg.latent_format"] == "PixelBlocks2"
            assert {str(file.get_slice(key).get_dtype()) for key in file.keys()} == {"F16"}  # noqa: SIM118
    assert not [path for path in starter.rglob("*") if path.suffix in (".pt", ".bin", ".ckpt")]
