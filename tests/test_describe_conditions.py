"""What the nodes show before a run of conditions that core's nodes limit in time and space (S1, S2)."""

from typing import Any

import pytest

from rigs.covers import combined, left_half, masked, ranged
from rigs.micro import micro_cond, micro_model
from rigs.posted import node, papers_graph


def test_ranges_and_places_of_conditions_as_in_a_run(describe: Any, pack: Any) -> None:
    """S1 and S2 before a run: core's nodes before a condition say when and where it is in force."""
    prompt = papers_graph(positive=("23", 0)) | {
        "20": node("ConditioningSetTimestepRange", conditioning=("12", 0), start=("30", 0), end=0.75),
        "21": node("ConditioningSetMask", conditioning=("12", 0), mask=("15", 0), strength=1.0),
        "22": node("ConditioningSetTimestepRange", conditioning=("21", 0), start=0.9, end=1.0),
        "23": node("ConditioningCombine", conditioning_1=("20", 0), conditioning_2=("22", 0)),
        "30": node("PrimitiveFloat", value=0.5),
    }
    shown = describe(prompt, "3")
    assert shown["cost"] == "3 evaluations per step (2 from 0% to 50%, 2 from 75% to 90%), 2 models"
    one = micro_cond(1)
    late = ranged(pack, masked(pack, one, left_half()), 0.9, 1.0)
    condition = combined(pack, ranged(pack, one, 0.5, 0.75), late)
    (terms,) = pack.run("GCFG_GuidanceTerm", model=micro_model(1), label="concept")
    (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=condition, label="control")
    inputs = {"model": micro_model(0), "conditioning": micro_cond(0), "terms": terms}
    (text,) = pack.ui("GCFG_Guider", **inputs)["text"]
    assert " ".join(shown["formula"]) == text.split("\n")[0]
    assert "{@ 50%-75%, 90%-100%} * area[control]" in text


@pytest.mark.parametrize(("kind", "output"), [
    ("InpaintModelConditioning", 0), ("ControlNetApplySD3", 1), ("WanInfiniteTalkToVideo", 2),
    ("GLIGENTextBoxApply", 0),
])  # fmt: skip
def test_a_range_passes_through_nodes_that_take_a_pair(describe: Any, kind: str, output: int) -> None:
    """S1 before a run: behind the node the range is that of the input which the output follows."""
    prompt = papers_graph(positive=("21", output)) | {
        "20": node("ConditioningSetTimestepRange", conditioning=("12", 0), start=0.5, end=1.0),
        "21": node(kind, positive=("12", 0), negative=("12", 0)),
    }
    taken = "conditioning_to" if kind.startswith("GLIGEN") else "negative" if output else "positive"
    prompt["21"]["inputs"][taken] = ["20", 0]
    assert describe(prompt, "3")["evaluations"] == [[0.0, 0.5, 2], [0.5, 1.0, 3]]


@pytest.mark.parametrize(("kind", "old", "new", "slot"), [
    ("ConditioningSetProperties", "", "cond_NEW", 0),
    ("ConditioningSetPropertiesAndCombine", "cond", "cond_NEW", 0),
    ("PairConditioningSetProperties", "", "negative_NEW", 1),
    ("PairConditioningSetPropertiesAndCombine", "negative", "negative_NEW", 1),
    ("PairConditioningSetDefaultCombine", "negative", "negative_DEFAULT", 1),
])  # fmt: skip
def test_core_nodes_that_combine_are_read_as_they_run(
    describe: Any, pack: Any, kind: str, old: str, new: str, slot: int
) -> None:
    """S1 and S2 before a run: the condition beside is in force early, the one with properties late and on a mask."""

    early, other = ranged(pack, micro_cond(1), 0.0, 0.2), micro_cond(2)
    has_properties = "Properties" in kind
    late = other if has_properties else ranged(pack, other, 0.5, 1.0)
    real = {name: late for name in pack.node(kind).INPUT_TYPES()["required"] if name.endswith(("_NEW", "_DEFAULT"))}
    beside = ("cond", "positive", "negative")
    real |= {name: early for name in pack.node(kind).INPUT_TYPES()["required"] if name in beside}
    links: dict[str, Any] = {new: ("24", 0)} | ({old: ("20", 0)} if old else {})
    prompt = papers_graph(positive=("23", slot)) | {
        "20": node("ConditioningSetTimestepRange", conditioning=("12", 0), start=0.0, end=0.2),
        "24": node("ConditioningSetTimestepRange", conditioning=("12", 0), start=0.5, end=1.0),
        "25": node("ConditioningTimestepsRange", start_percent=0.5, end_percent=1.0),
    }
    if has_properties:
        real |= {"mask": left_half(), "timesteps": (0.5, 1.0), "strength": 1.0, "set_cond_area": "default"}
        links |= {"mask": ("15", 0), "timesteps": ("25", 0), "strength": 1.0, new: ("12", 0)}
    prompt["23"] = node(kind, **links)
    condition = pack.run(kind, **real)[slot]
    (terms,) = pack.run("GCFG_GuidanceTerm", model=micro_model(1), label="concept")
    (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=condition, label="control")
    inputs = {"model": micro_model(0), "conditioning": micro_cond(0), "terms": terms}
    (text,) = pack.ui("GCFG_Guider", **inputs)["text"]
    assert " ".join(describe(prompt, "3")["formula"]) == text.split("\n")[0]
    assert "100%" in text and ("0%-20%" in text) == bool(old)


def test_conditions_in_a_loop_or_a_lattice_are_described_at_once(describe: Any) -> None:
    """Each combination doubles the ways back."""
    prompt = papers_graph(positive=("c0", 0))
    for k in range(100):
        both = {f"conditioning_{n}": (f"c{(k + 1) % 100}", 0) for n in (1, 2)}
        prompt[f"c{k}"] = node("ConditioningCombine", **both)
    assert describe(prompt, "3")["evaluations"] == [[0.0, 1.0, 3]]
