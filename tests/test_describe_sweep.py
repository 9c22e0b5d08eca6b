"""What a GCFG Sweep shows before a run: its formula, how many pictures, and what is wrong with its axes."""

import time
from typing import Any

import pytest

from rigs.posted import node, papers_graph


@pytest.fixture
def describe(pack: Any) -> Any:
    """A prompt to what its GCFG Sweep (4) shows."""
    live, posted = pack.module("nodes.live.describe"), pack.module("nodes.live.posted")
    return lambda prompt: live.describe(posted.read_posted({"prompt": prompt, "nodes": ["4"]}), "4")


def swept(columns: dict[str, Any] | None = None, rows: dict[str, Any] | None = None, **control: Any) -> dict[str, dict]:
    """The paper's graph on a GCFG Sweep (4) with these axes (5, 6), each given by its node's widgets."""
    links: dict[str, Any] = {"model": ("10", 0), "conditioning": ("13", 0), "terms": ("2", 0)}
    links |= {"latent_image": ("14", 0), "vae": ("10", 2), "columns": ("5", 0)} | ({"rows": ("6", 0)} if rows else {})
    return papers_graph(**control) | {
        "4": node("GCFG_Sweep", "Sweep", rescale=0.0, sampler_name="euler", **links),
        "5": node("GCFG_SweepAxis", "Columns", **({"term": "control"} | (columns or {}))),
        "6": node("GCFG_SweepAxis", "Rows", **(rows or {})),
    }


def test_formula_and_cost(describe: Any) -> None:
    shown = describe(swept({"values": "1:3:5"}, {"parameter": "seed", "values": "1, 2"}))
    assert shown["formula"] == [
        "D = base(null)", "+ 2.5 * (concept(null) - base(null))", "+ ? * (base(control) - base(null))",
    ]  # fmt: skip
    assert shown["cost"] == "10 pictures, at most 3 evaluations per step, 2 models" and not shown["notes"]


def test_says_what_the_node_says_when_it_runs(describe: Any, pack: Any) -> None:
    """Which is how the panel knows that the last run was of this graph."""
    from rigs.sweeps import Graph

    graph = Graph(pack, rescale=0.0)
    graph.terms = {
        "concept": {"model": graph.other, "weight": 2.5},
        "control": {"positive": graph.terms["control"]["positive"], "end_percent": 0.5},
    }
    (text,) = pack.ui("GCFG_Sweep", **graph.arguments(("weight", "control", "1, 2")))["text"]
    prompt = swept({"values": "1, 2"}, end_percent=0.5)
    assert " ".join(describe(prompt)["formula"]) == text.split("\n")[0]


def test_the_cost_is_the_dearest_pictures(describe: Any) -> None:
    assert "at most 2 evaluations per step" in describe(swept({"values": "0"}))["cost"]
    assert "at most 3 evaluations per step" in describe(swept({"values": "0, 1"}))["cost"]
    assert describe(swept({"values": "0, 1"}, {"term": "concept", "values": "0"}))["cost"].startswith("2 pictures")


def test_the_default_axis_fits_the_papers_graph(describe: Any) -> None:
    assert describe(swept())["cost"].startswith("4 pictures")


@pytest.mark.parametrize(
    ("columns", "rows", "said"),
    [
        ({"values": "1, x"}, None, "Columns (5): values: expected numbers like"),
        ({"parameter": "start_percent", "values": "2"}, None, "Columns (5): values: start_percent: expected a number"),
        ({"term": "contrl"}, None, "columns: Sweep Axis, term: expected the label or the number of one term"),
        ({}, {"term": "2"}, "rows: They change the same as the columns: weight of control"),
        ({"parameter": "curve_end", "values": "0"}, None, "got constant on control"),
        ({"parameter": "speed"}, None, "Columns (5): parameter: expected one of weight"),
    ],
)
def test_what_is_wrong_is_said_at_once(describe: Any, columns: dict, rows: dict | None, said: str) -> None:
    assert said in describe(swept(columns, rows))["error"]


def test_waits_for_axes(describe: Any) -> None:
    open_axis = swept()
    del open_axis["4"]["inputs"]["columns"]
    assert describe(open_axis)["waits"] == "connect columns."
    foreign = swept() | {"5": node("AnotherPacksAxis", "Theirs")}
    assert describe(foreign)["waits"] == "An axis comes from Theirs (5): it is known when it runs."


def test_values_from_a_link_are_assumed(describe: Any) -> None:
    shown = describe(swept({"values": ("20", 0)}) | {"20": node("AnotherPacksText", "Theirs")})
    assert shown["notes"] == [
        "Columns (5): values comes from Theirs (20), known when it runs; '0, 1.5, 3, 4.5' is assumed."
    ]
    assert describe(swept({"values": ("20", 0)}) | {"20": node("PrimitiveString", value="1, 2")})["cost"][0] == "2"


def test_the_largest_sweep_is_described_soon(describe: Any) -> None:
    axes = {"values": "0.5:4:16"}, {"term": "concept", "values": "0.5:4:16"}
    started = time.perf_counter()
    assert describe(swept(*axes))["cost"].startswith("256 pictures")
    assert time.perf_counter() - started < 1.0
