"""The page reads a graph without asking other packs' nodes anything, and one broken node does not hide the others."""

from pathlib import Path
from typing import Any

from rigs.javascript import needs_node, run_module

pytestmark = needs_node

GRAPH = """
import { app } from "./scripts/app.js";
import { readGraph } from "./extensions/gcfg/read_graph.js";
console.warn = () => (warnings += 1);
let warnings = 0;
const graph = { nodes: [], links: {}, getNodeById: id => graph.nodes.find(node => node.id === id) };
const add = node => { graph.nodes.push({ graph, ...node }); return graph.nodes.at(-1); };
const link = (id, from, slot = 0) => { graph.links[id] = { origin_id: from, origin_slot: slot }; return id; };
const terms = link => ({ name: "terms", type: "GCFG_TERMS", link });
app.graph = app.rootGraph = graph;
app.canvas = { graph };
"""


def read(folder: Path, script: str) -> Any:
    """{prompt, places, warnings} of the graph that a script builds, read twice."""
    end = "readGraph(); const { prompt, places } = readGraph(); tell({ prompt, places: [...places.keys()], warnings });"
    return run_module(folder, GRAPH + script + end)


def test_virtual_nodes_of_other_packs_are_never_asked(tmp_path):
    found = read(
        tmp_path,
        """
        const getInputLink = () => { throw new Error("asked"); };
        const foreign = { type: "GetNode", isVirtualNode: true, getInputLink, inputs: [], widgets: [{}] };
        add({ id: 2, title: "Get_terms", ...foreign });
        add({ id: 3, comfyClass: "GCFG_Guider", title: "Guider", inputs: [terms(link(1, 2))] });
        """,
    )
    assert found["prompt"]["3"]["inputs"] == {"terms": ["2", 0]}
    assert found["prompt"]["2"]["_meta"]["title"] == "Get_terms" and found["warnings"] == 0


def test_reroutes_and_primitives_are_seen_through(tmp_path):
    found = read(
        tmp_path,
        """
        add({ id: 1, type: "PrimitiveNode", isVirtualNode: true, widgets: [{ value: 1.5 }] });
        add({ id: 2, comfyClass: "GCFG_GuidanceTerm", inputs: [{ name: "weight", link: link(1, 1) }] });
        add({ id: 3, type: "Reroute", isVirtualNode: true, inputs: [{ name: "", type: "*", link: link(2, 2) }] });
        add({ id: 4, type: "Reroute", isVirtualNode: true, inputs: [{ name: "", type: "*", link: null }] });
        const inputs = [terms(link(3, 3)), { name: "model", link: link(4, 4) }];
        add({ id: 5, comfyClass: "GCFG_Guider", inputs });
        """,
    )
    assert found["prompt"]["5"]["inputs"] == {"terms": ["2", 0]}
    assert found["prompt"]["2"]["inputs"] == {"weight": 1.5}


def test_a_link_that_cannot_be_followed_is_unknown(tmp_path):
    found = read(
        tmp_path,
        """
        graph.nodes[0] = { id: 1, get mode() { throw new Error("broken"); } };
        add({ id: 2, comfyClass: "GCFG_GuidanceTerm", title: "Term", inputs: [] });
        add({ id: 3, comfyClass: "GCFG_Guider", inputs: [terms(link(1, 1))] });
        """,
    )
    assert found["places"] == ["2", "3"]
    assert found["prompt"]["3"]["inputs"] == {"terms": ["unreadable", 0]}
    assert found["warnings"] == 1


def test_a_node_that_cannot_be_read_leaves_the_others(tmp_path):
    found = read(
        tmp_path,
        """
        add({ id: 1, comfyClass: "GCFG_GuidanceTerm", widgets: [null], inputs: [] });
        add({ id: 2, comfyClass: "GCFG_GuidanceTerm", widgets: [{ name: "weight", value: 2 }], inputs: [] });
        """,
    )
    assert found["places"] == ["2"] and found["warnings"] == 1
    assert found["prompt"]["2"]["inputs"] == {"weight": 2}


def test_a_subgraph_without_inputs_gives_nothing(tmp_path):
    found = read(
        tmp_path,
        """
        const inner = { nodes: [], links: { 7: { origin_id: -10, origin_slot: 0 } } };
        inner.nodes.push({ id: 5, graph: inner, comfyClass: "GCFG_Guider", inputs: [terms(7)] });
        add({ id: 1, isSubgraphNode: () => true, subgraph: inner });
        app.canvas = { graph: inner };
        """,
    )
    assert found["prompt"] == {"1:5": {"class_type": "GCFG_Guider", "_meta": {"title": ""}, "inputs": {}}}
    assert found["warnings"] == 0
