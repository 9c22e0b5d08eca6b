"""What is posted to be described equals what would be queued, whatever lies between the nodes. Needs Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest

from rigs.browser import browser, needs_chromium, open_interface
from rigs.server import ComfyServer
from rigs.shown_graph import READ, change, compare, open_papers_graph, prepare, show_inside, wait_for_formula

pytestmark = needs_chromium

CHANGES = {
    "as it was saved": "",
    "a reroute": "const node = put('Reroute'); between(find('GCFG_Sampler'), 'terms', node);",
    "two reroutes": """const a = put('Reroute'), b = put('Reroute');
        between(find('GCFG_Sampler'), 'model', a); between(find('GCFG_Sampler'), 'model', b);""",
    "a bypassed term": "find('GCFG_GuidanceTerm').mode = 4;",
    "a muted term": "find('GCFG_GuidanceTerm').mode = 2;",
    "a bypassed node of another pack": """const lora = put('LoraLoaderModelOnly'); lora.mode = 4;
        between(find('GCFG_Sampler'), 'model', lora);""",
    "a muted loader": "find('GCFG_LoadConceptModel').mode = 2;",
    "a primitive": """const value = put('PrimitiveNode'), term = find('GCFG_GuidanceTerm');
        value.connect(0, term, slot(term, 'weight')); value.widgets[0].value = 1.5;""",
    "a float node": """const value = put('PrimitiveFloat'), term = find('GCFG_GuidanceTerm');
        value.widgets[0].value = 3.25; value.connect(0, term, slot(term, 'weight'));""",
    "the terms in a subgraph": """app.graph.convertToSubgraph(new Set(
        app.graph.nodes.filter(node => node.comfyClass === 'GCFG_GuidanceTerm')));""",
    "one term in a subgraph": "app.graph.convertToSubgraph(new Set([find('GCFG_GuidanceTerm', 1)]));",
    "a loader in a subgraph": "app.graph.convertToSubgraph(new Set([find('GCFG_LoadConceptModel')]));",
    "a bypassed subgraph": "app.graph.convertToSubgraph(new Set([find('GCFG_GuidanceTerm', 1)])).node.mode = 4;",
}
INSIDE = {
    "a term": "find('GCFG_GuidanceTerm')",
    "terms and sampler": "find('GCFG_GuidanceTerm'), find('GCFG_GuidanceTerm', 1), find('GCFG_Sampler')",
    "the sampler": "find('GCFG_Sampler')",
}
CONDITION = """
    const range = put('ConditioningSetTimestepRange'), area = put('ConditioningSetArea'), end = put('PrimitiveFloat');
    const sampler = find('GCFG_Sampler'), skip = put('CLIPSetLastLayer'), image = put('LoadImage');
    range.widgets[0].value = 0.25; end.widgets[0].value = 0.75; area.widgets[0].value = 256;
    end.connect(0, range, slot(range, 'end'));
    between(sampler, 'conditioning', range); between(range, 'conditioning', area);
    const text = app.graph.getNodeById(app.graph.getLink(area.inputs[0].link).origin_id);
    between(text, 'clip', skip);
    text.widgets[0].value = 'x'.repeat(1000);
"""
"""Nodes before a condition, of which its range, its area and the encoder lie before the base's null condition."""


@pytest.fixture(scope="module")
def page(server: ComfyServer) -> Iterator[Any]:
    with browser() as chromium:
        page = open_interface(chromium, server)
        prepare(page)
        yield page


@pytest.fixture
def papers_graph(page: Any) -> Any:
    open_papers_graph(page)
    return page


@pytest.mark.parametrize("name", CHANGES)
def test_is_what_would_be_queued(papers_graph, name):
    change(papers_graph, CHANGES[name])
    assert "GCFG_Sampler" in {node["class_type"] for node in compare(papers_graph).values()}


@pytest.mark.parametrize("nodes", INSIDE)
def test_inside_a_subgraph(papers_graph, nodes):
    show_inside(papers_graph, INSIDE[nodes])
    ours = compare(papers_graph)
    assert any(":" in node_id for node_id in ours)
    papers_graph.evaluate("() => app.canvas.setGraph(app.graph)")


def test_what_a_condition_comes_from_is_posted(papers_graph):
    """P4: which conditions are in force is for the server to say, so that it needs the nodes before them."""
    change(papers_graph, CONDITION)
    read, queued = papers_graph.evaluate(READ)
    encoders = {"CLIPTextEncode", "CLIPSetLastLayer"}
    before = {"ConditioningSetTimestepRange", "ConditioningSetArea", "PrimitiveFloat"} | encoders
    kinds = {node["class_type"]: node_id for node_id, node in read.items() if node.get("inputs")}
    assert before | {"CheckpointLoaderSimple"} <= kinds.keys() and "LoadImage" not in kinds
    for kind in before - {"CLIPTextEncode"}:
        assert read[kinds[kind]]["inputs"] == queued[kinds[kind]]["inputs"]
    texts = [node["inputs"]["text"] for node in read.values() if node["class_type"] == "CLIPTextEncode"]
    assert max(map(len, texts)) == 200, "a prompt is not needed as a whole"


def test_the_formula_of_a_float_node(papers_graph):
    change(papers_graph, CHANGES["a float node"])
    wait_for_formula(papers_graph, "+ 3.25 * (")


def test_widgets_that_act_when_queued_are_left_alone(papers_graph):
    calls = papers_graph.evaluate(
        """async () => {
          const camera = put('LoadImage'); let calls = 0;
          camera.widgets[0].serializeValue = () => { calls += 1; return 'taken'; };
          find('GCFG_GuidanceTerm').widgets[0].value = 7;
          await new Promise(done => setTimeout(done, 1500));
          return calls;
        }"""
    )
    assert calls == 0
    wait_for_formula(papers_graph, "+ 7 * (")
