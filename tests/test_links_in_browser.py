"""P4: links through other packs' nodes and through subgraphs are read as they would be queued. Needs Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest

from rigs.browser import browser, needs_chromium, open_interface
from rigs.server import ComfyServer
from rigs.shown_graph import change, compare, open_papers_graph, prepare, show_inside, wait_for_formula

pytestmark = needs_chromium

PAPERS = ("3 evaluations per step, 2 models", "+ 7 * (concept(null) - base(null))")
"""What is shown once a change by `alter` has reached the panel; before it the weight is 2.5."""

SET = """window.viaName = (node, name, key) => {
  const [origin, from] = giver(node, name), set = put('StandInSet'), get = put('StandInGet');
  set.widgets[0].value = get.widgets[0].value = key;
  origin.connect(from, set, 0);
  get.connect(0, node, slot(node, name));
  return get;
};
window.byName = (node, name, key) => {
  const get = put('StandInGet');
  get.widgets[0].value = key;
  get.connect(0, node, slot(node, name));
};"""
WAYS = {
    "terms by a name": "viaName(find('GCFG_Sampler'), 'terms', 'terms');",
    "one model by its name, twice": """viaName(find('GCFG_Sampler'), 'model', 'model');
        byName(find('GCFG_GuidanceTerm', 1), 'model', 'model');""",
    "a name of a name": """const get = viaName(find('GCFG_Sampler'), 'terms', 'a'); get.disconnectOutput(0);
        const set = put('StandInSet'); set.widgets[0].value = 'b'; get.connect(0, set, 0);
        byName(find('GCFG_Sampler'), 'terms', 'b');""",
    "reroutes of another pack": """between(find('GCFG_Sampler'), 'terms', put('StandInReroute'));
        between(find('GCFG_Sampler'), 'model', put('StandInReroute'));""",
    "a reroute of a name": """const sampler = find('GCFG_Sampler'); viaName(sampler, 'model', 'model');
        between(sampler, 'model', put('StandInReroute'));""",
    "a bypassed node behind a name": """const lora = put('LoraLoaderModelOnly'); lora.mode = 4;
        between(find('GCFG_Sampler'), 'model', lora); viaName(find('GCFG_Sampler'), 'model', 'model');""",
}
SUBGRAPHS = {
    "the terms, by a name": """viaName(find('GCFG_GuidanceTerm', 0), 'model', 'concept');
        const kinds = ['GCFG_GuidanceTerm', 'StandInGet'];
        app.graph.convertToSubgraph(new Set(app.graph.nodes.filter(node => kinds.includes(node.type))));""",
    "a subgraph in a subgraph": """app.graph.convertToSubgraph(new Set([find('GCFG_GuidanceTerm', 1)]));
        const outer = app.graph.nodes.filter(node => node.subgraph || node.comfyClass === 'GCFG_GuidanceTerm');
        app.graph.convertToSubgraph(new Set(outer));""",
    "a reroute in a subgraph": """const reroute = put('StandInReroute');
        between(find('GCFG_GuidanceTerm'), 'model', reroute);
        app.graph.convertToSubgraph(new Set([find('GCFG_GuidanceTerm'), reroute]));""",
    "a muted subgraph": "app.graph.convertToSubgraph(new Set([find('GCFG_GuidanceTerm', 1)])).node.mode = 2;",
}
NO_ACT = """window.toasts = 0;
    const toast = app.extensionManager.toast, loud = [toast.add, window.alert];
    toast.add = () => { toasts += 1; };
    window.alert = () => { toasts += 1; };"""


@pytest.fixture(scope="module")
def page(server: ComfyServer) -> Iterator[Any]:
    with browser() as chromium:
        page = open_interface(chromium, server)
        prepare(page)
        change(page, SET)
        yield page


@pytest.fixture
def papers_graph(page: Any) -> Any:
    open_papers_graph(page)
    return page


def alter(page: Any, script: str) -> None:
    """Change the paper's graph, and its concept term's weight with it."""
    change(page, f"find('GCFG_GuidanceTerm').widgets[0].value = 7; {script}")


@pytest.mark.parametrize("way", WAYS)
def test_nodes_that_lead_elsewhere_are_seen_through(papers_graph, way):
    alter(papers_graph, WAYS[way])
    assert "GCFG_Sampler" in {node["class_type"] for node in compare(papers_graph).values()}
    wait_for_formula(papers_graph, *PAPERS)


@pytest.mark.parametrize("way", SUBGRAPHS)
def test_in_subgraphs(papers_graph, way):
    change(papers_graph, SUBGRAPHS[way])
    ours = compare(papers_graph)
    assert sum(node["class_type"] == "GCFG_GuidanceTerm" for node in ours.values()) >= 1


def test_two_names_of_one_model_are_one_model(papers_graph):
    alter(papers_graph, WAYS["one model by its name, twice"])
    assert "+ 2.5 * (base(control) - base(null))" in wait_for_formula(papers_graph, *PAPERS)


def test_a_node_that_writes_when_queued_is_not_let_write(papers_graph):
    change(papers_graph, "window.acts = []; const term = find('GCFG_GuidanceTerm');"
        "put('StandInWriter').connect(0, term, slot(term, 'weight'));")  # fmt: skip
    text = wait_for_formula(papers_graph, "+ ? * (concept(null) - base(null))")
    assert "weight comes from StandInWriter" in text
    assert papers_graph.evaluate("() => acts") == []


def test_messages_and_marks_of_other_packs_are_not_shown(papers_graph):
    alter(papers_graph, NO_ACT + "viaName(find('GCFG_Sampler'), 'terms', 'a').widgets[0].value = 'nothing';")
    wait_for_formula(papers_graph, "1 evaluation per step, 1 model")
    papers_graph.wait_for_timeout(600)
    marked = "() => [toasts, app.graph.nodes.filter(node => node.complains).length]"
    assert papers_graph.evaluate(marked) == [0, 0]
    papers_graph.evaluate("() => app.graphToPrompt()")
    assert papers_graph.evaluate(marked) == [2, 1], "the node says nothing where the graph is queued either"


def test_a_node_that_cannot_be_asked_leaves_the_others(papers_graph):
    broken = "put('StandInBroken').connect(0, find('GCFG_Sampler'), slot(find('GCFG_Sampler'), 'terms'));"
    change(papers_graph, broken)
    wait_for_formula(papers_graph, "The terms come from a node that cannot be read")
    drawn = "() => [...document.querySelectorAll('.gcfg-line')].filter(line => line.getAttribute('d')).length"
    assert papers_graph.evaluate(drawn) == 2


def test_inside_a_subgraph_a_name_of_the_graph_around(papers_graph):
    change(papers_graph, "viaName(find('GCFG_GuidanceTerm', 0), 'model', 'concept');")
    show_inside(papers_graph, "find('GCFG_GuidanceTerm'), app.graph.nodes.find(node => node.type === 'StandInGet')")
    assert any(":" in node_id for node_id in compare(papers_graph))
    change(papers_graph, "app.canvas.setGraph(app.graph);")


def test_uses_of_a_subgraph_that_differ_are_said_to(papers_graph):
    change(papers_graph, """
        const sampler = find('GCFG_Sampler'), made = app.graph.convertToSubgraph(new Set([sampler]));
        const other = LiteGraph.createNode(made.node.type); app.graph.add(other);
        for (const [i, input] of made.node.inputs.entries()) {
          const link = app.graph.getLink(input.link);
          if (link && input.type !== 'GCFG_TERMS') {
            app.graph.getNodeById(link.origin_id).connect(link.origin_slot, other, i);
          }
        }
        app.canvas.setGraph(made.subgraph);""")  # fmt: skip
    text = wait_for_formula(papers_graph, "3 evaluations per step", "In 1 other use(s) of this subgraph it differs.")
    assert "concept(null)" in text
    compare(papers_graph)
    change(papers_graph, "app.canvas.setGraph(app.graph);")


def test_nothing_of_the_graph_is_changed(papers_graph):
    alter(papers_graph, WAYS["one model by its name, twice"])
    modified = "app.extensionManager.workflow.activeWorkflow?.isModified"
    state = f"() => JSON.stringify([app.graph.serialize(), app.graph._version, {modified}])"
    before = papers_graph.evaluate(state)
    change(papers_graph, "await new Promise(done => setTimeout(done, 1000));")
    compare(papers_graph)
    wait_for_formula(papers_graph, *PAPERS)
    assert papers_graph.evaluate(state) == before


class TestBroadcasts:
    """A pack lays links while the graph is queued, and lists them in the graph's `extra`."""

    SEND = """const send = (node, name, others = []) => {
        const [origin, from] = giver(node, name), sender = put('Anything Everywhere');
        origin.connect(from, sender, 0);
        for (const each of [node, ...others]) each.disconnectInput(slot(each, name));
        broadcast(sender);
        window.queued = () => queuedWithBroadcasts(sender);
    };"""

    @pytest.fixture
    def sending(self, papers_graph: Any) -> Iterator[Any]:
        change(papers_graph, "window.plainlyQueued = queued; allowBroadcasts();")
        yield papers_graph
        change(papers_graph, """LiteGraph.unregisterNodeType('Anything Everywhere'); window.queued = plainlyQueued;
            app.canvas.setGraph(app.graph);""")  # fmt: skip

    def test_a_model(self, sending):
        alter(sending, f"{self.SEND} send(find('GCFG_Sampler'), 'model');")
        compare(sending)
        wait_for_formula(sending, *PAPERS)

    def test_a_prompt_that_fills_the_optional_reference(self, sending):
        """The term compares the prompt with itself: it adds nothing, as it would when queued."""
        alter(sending, f"{self.SEND} send(find('GCFG_GuidanceTerm', 1), 'positive');")
        ours = compare(sending)
        assert all("reference" in ours[key]["inputs"] for key in ours if "positive" in ours[key].get("inputs", {}))
        wait_for_formula(sending, "(base(control) - base(control))")

    def test_into_a_subgraph(self, sending):
        alter(sending, f"""{self.SEND}
            const sampler = find('GCFG_Sampler'), made = app.graph.convertToSubgraph(new Set([sampler]));
            send(made.node, made.node.inputs.find(input => input.type === 'MODEL').name);
            app.canvas.setGraph(made.subgraph);""")  # fmt: skip
        compare(sending)
        wait_for_formula(sending, *PAPERS)

    def test_a_list_without_its_pack_is_not_believed(self, sending):
        alter(sending, f"{self.SEND} send(find('GCFG_Sampler'), 'model');")
        change(sending, "LiteGraph.unregisterNodeType('Anything Everywhere');")
        wait_for_formula(sending, "connect model")
        change(sending, "allowBroadcasts();")
