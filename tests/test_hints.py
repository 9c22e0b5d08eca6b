"""Hints on graphs that run but probably do not do what was meant; none on any graph that the pack comes with."""

import json
from typing import Any

import pytest
from safetensors.torch import save_file

from rigs.host import ROOT
from rigs.posted import node, papers_graph

WORLD, SIDE = "Miniature world", json.loads((ROOT / "starter" / "world" / "world.json").read_text())["resolution"]
GUIDERS = ("GCFG_Guider", "GCFG_Sampler", "GCFG_Sweep")


def starter_graph(words: str = "a face, red hair", base: str = "", side: int = SIDE) -> dict[str, Any]:
    """The paper's graph on the starter world, with GCFG Sampler."""
    prompt = papers_graph()
    sampler = prompt.pop("3")["inputs"] | {"latent_image": ("14", 0)}
    return prompt | {
        "3": node("GCFG_Sampler", **sampler),
        "10": node("GCFG_LoadStarterWorld", world=WORLD),
        "11": node("GCFG_LoadConceptModel", concept_name="toon.safetensors"),
        "12": node("CLIPTextEncode", clip=("10", 1), text=words),
        "13": node("CLIPTextEncode", clip=("10", 1), text=base),
        "14": node("EmptyLatentImage", width=side, height=side, batch_size=1),
    }


def hint(describe: Any, prompt: dict[str, Any]) -> str:
    """The only hint on the graph."""
    (only,) = describe(prompt, "3")["hints"]
    return only


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "workflows" / "api").glob("*.json")))
def test_our_own_graphs_get_none(describe: Any, name: str) -> None:
    prompt = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    asked = [node_id for node_id, one in prompt.items() if one["class_type"] in GUIDERS]
    assert asked and not [text for node_id in asked for text in describe(prompt, node_id)["hints"]]


def test_a_right_graph_gets_none(describe: Any) -> None:
    assert describe(starter_graph(), "3")["hints"] == []
    assert describe(starter_graph(base="glasses"), "3")["hints"] == []  # a negative prompt


def test_an_empty_term(describe: Any) -> None:
    prompt = starter_graph()
    del prompt["1"]["inputs"]["model"]
    assert hint(describe, prompt).startswith("Term 'concept' compares a prediction with itself and does nothing")


def test_two_terms_of_one_name(describe: Any) -> None:
    prompt = starter_graph()
    prompt["2"]["inputs"]["label"] = "concept"
    assert hint(describe, prompt) == "2 terms are called 'concept': give each a label of its own."


def test_weights_far_above_what_works(describe: Any) -> None:
    prompt = starter_graph()
    prompt["2"]["inputs"]["weight"] = -100.0
    assert hint(describe, prompt).startswith("The weights add up to 102.5; above 20")
    prompt["2"]["inputs"]["weight"] = ["99", 0]  # known when it runs
    assert describe(prompt, "3")["hints"] == []


def test_positive_and_negative_swapped(describe: Any) -> None:
    text = hint(describe, starter_graph(words=" ", base="a face, dark skin, red hair, blue background"))
    assert text.startswith("The prompt 'a face, dark skin, red hair, …' is the base condition") and "swap" in text


def test_a_model_that_reads_no_text_as_the_base(describe: Any) -> None:
    prompt = starter_graph()
    prompt["3"]["inputs"]["model"], prompt["1"]["inputs"]["model"] = ["20", 0], ["10", 0]
    prompt["20"] = node("LoraLoaderModelOnly", model=("11", 0))
    assert hint(describe, prompt).startswith("toon.safetensors reads no text, so that as the base it ignores")
    prompt["12"]["inputs"]["text"] = ""
    assert describe(prompt, "3")["hints"] == []
    prompt["12"]["inputs"]["text"], prompt["11"]["inputs"]["concept_name"] = "a face", "toon_with_text.safetensors"
    assert describe(prompt, "3")["hints"] == []


def test_a_file_without_a_kind_gets_no_hint(describe: Any, pack: Any, tmp_path: Any, monkeypatch: Any) -> None:
    import torch

    save_file({"a": torch.zeros(1)}, tmp_path / "mine.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no file of tensors")
    sources = pack.module("nodes.live.sources")
    monkeypatch.setattr(sources, "concept_path", lambda name: str(tmp_path / name))
    for name in ("mine.safetensors", "broken.safetensors"):
        prompt = starter_graph()
        prompt["3"]["inputs"]["model"], prompt["11"]["inputs"]["concept_name"] = ["11", 0], name
        assert not [text for text in describe(prompt, "3")["hints"] if name in text]


def test_words_that_a_starter_world_does_not_know(describe: Any) -> None:
    text = hint(describe, starter_graph(words="a red cat on a sofa"))
    assert text == f"{WORLD!r} was not trained on: cat, on, sofa. These words have no meaning there."
    many = hint(describe, starter_graph(words=" ".join(f"word{number}" for number in range(20))))
    assert "word7, ..." in many and "word8" not in many


def test_a_size_that_the_world_was_not_made_for(describe: Any) -> None:
    text = hint(describe, starter_graph(side=4 * SIDE))
    assert f"is {4 * SIDE} x {4 * SIDE} pixels, but {WORLD!r} learned pictures of {SIDE} x {SIDE}" in text


def test_values_through_links_are_read(describe: Any) -> None:
    prompt = starter_graph()
    prompt["12"]["inputs"]["text"], prompt["14"]["inputs"]["width"] = ["30", 0], ["31", 0]
    prompt |= {"30": node("PrimitiveString", value="a cat"), "31": node("PrimitiveInt", value=8 * SIDE)}
    shown = describe(prompt, "3")["hints"]
    assert len(shown) == 2 and f"{8 * SIDE} x {SIDE}" in shown[0] and "cat" in shown[1]
    prompt["30"]["class_type"] = prompt["31"]["class_type"] = "SomeNode"  # known when it runs
    assert describe(prompt, "3")["hints"] == []


def test_other_models_get_no_hints_of_worlds(describe: Any) -> None:
    prompt = starter_graph(words="a cat", side=4 * SIDE)
    prompt["10"] = node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors")
    assert describe(prompt, "3")["hints"] == []


def test_a_sweep_has_hints_too(describe: Any) -> None:
    prompt = starter_graph(words="a cat")
    prompt["3"]["class_type"] = "GCFG_Sweep"
    prompt["3"]["inputs"]["columns"] = ["40", 0]
    prompt["40"] = node("GCFG_SweepAxis", parameter="weight", term="concept", values="0, 1")
    assert "cat" in hint(describe, prompt)
