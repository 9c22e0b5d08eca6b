"""Hints on graphs that run but probably do not do what was meant; none on any graph that the pack comes with."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rigs.host import ROOT
from rigs.posted import node, papers_graph
from rigs.worlds import TINY, tiny_world, write_tiny_world

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
    assert text.startswith("The prompt 'a face, dark skin, re…' is the base condition") and "swap" in text


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
    save_file({"a": torch.zeros(1)}, tmp_path / "mine.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no file of tensors")
    sources = pack.module("nodes.live.sources")
    monkeypatch.setattr(sources, "concept_path", lambda name: str(tmp_path / name))
    for name in ("mine.safetensors", "broken.safetensors"):
        prompt = starter_graph()
        prompt["3"]["inputs"]["model"], prompt["11"]["inputs"]["concept_name"] = ["11", 0], name
        assert not [text for text in describe(prompt, "3")["hints"] if name in text]


def test_other_uses_of_a_prompt_in_the_base_are_none(describe: Any) -> None:
    """The prompt as the base with an empty reference, and an empty prompt pushed away from."""
    prompt = starter_graph(words="", base="a face")
    del prompt["2"]["inputs"]["positive"]
    prompt["2"]["inputs"]["reference"] = ["12", 0]
    assert describe(prompt, "3")["hints"] == []
    prompt = starter_graph(words="", base="a face")
    prompt["2"]["inputs"]["weight"] = -2.0
    assert describe(prompt, "3")["hints"] == []


def test_weights_in_other_windows_do_not_add_up(describe: Any) -> None:
    prompt = starter_graph()
    for node_id, (start, end) in {"1": (0.0, 0.5), "2": (0.5, 1.0)}.items():
        prompt[node_id]["inputs"] |= {"weight": 15.0, "start_percent": start, "end_percent": end}
    assert describe(prompt, "3")["hints"] == []
    prompt["2"]["inputs"]["start_percent"] = 0.4
    assert "add up to 30" in hint(describe, prompt)


def test_a_prompt_of_zeros_is_no_prompt(describe: Any) -> None:
    prompt = starter_graph(words="a red cat")
    prompt["13"] = node("ConditioningZeroOut", conditioning=("12", 0))
    shown = describe(prompt, "3")
    assert shown["formula"][0] == "D = base(null)" and len(shown["hints"]) == 1
    prompt["13"] = node("NodeOfAnotherPack", conditioning=("12", 0))
    assert describe(prompt, "3")["formula"][0] == "D = base(null)"


def test_weights_and_embeddings_in_a_prompt_are_no_words(describe: Any) -> None:
    assert describe(starter_graph(words="a (face:1.2), embedding:mine, (red hair)"), "3")["hints"] == []
    long = "a face, " * 24 + "red hai"  # the page posts 200 characters
    assert len(long) == 199
    assert describe(starter_graph(words=f"{long}r"), "3")["hints"] == []
    assert "hai" in hint(describe, starter_graph(words=long))


def test_a_broken_hint_leaves_the_formula(describe: Any, pack: Any, monkeypatch: Any) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(pack.module("nodes.live.sources"), "world_folders", broken)
    shown = describe(starter_graph(words="a cat"), "3")
    assert shown["hints"] == [] and len(shown["formula"]) == 3


def test_words_that_a_starter_world_does_not_know(describe: Any) -> None:
    text = hint(describe, starter_graph(words="a red cat on a sofa"))
    assert text == f"{WORLD!r} was not trained on: cat, on, sofa. These words have no meaning there."
    many = hint(describe, starter_graph(words=" ".join(f"word{number}" for number in range(20))))
    assert "word7, ..." in many and "word8" not in many


@pytest.fixture
def world_with_a_vae(pack: Any, tmp_path: Any, monkeypatch: Any) -> int:
    """A world of the shipped one's name, and the side of its pictures."""
    write_tiny_world(tmp_path / "world", tiny_world(8), WORLD)
    monkeypatch.setattr(pack.module("nodes.live.sources"), "world_folders", lambda: {WORLD: tmp_path / "world"})
    return TINY["resolution"]


def test_a_size_that_the_world_was_not_made_for(describe: Any, world_with_a_vae: int) -> None:
    side = world_with_a_vae
    text = hint(describe, starter_graph(words="a red face", side=4 * side))
    assert f"is {4 * side} x {4 * side} pixels, but {WORLD!r} learned pictures of {side} x {side}" in text
    assert describe(starter_graph(words="a red face", side=side), "3")["hints"] == []


def test_values_through_links_are_read(describe: Any, world_with_a_vae: int) -> None:
    side = world_with_a_vae
    prompt = starter_graph(side=side)
    prompt["12"]["inputs"]["text"], prompt["14"]["inputs"]["width"] = ["30", 0], ["31", 0]
    prompt |= {"30": node("PrimitiveString", value="a cat"), "31": node("PrimitiveInt", value=8 * side)}
    shown = describe(prompt, "3")["hints"]
    assert len(shown) == 2 and f"{8 * side} x {side}" in shown[0] and "cat" in shown[1]
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
