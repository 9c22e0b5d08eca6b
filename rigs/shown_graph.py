"""The paper's graph in the web interface, changed by JavaScript: the panels' reading of it, and the prompt to queue."""

import time
from pathlib import Path
from typing import Any

from rigs.browser import workflow

HELPERS = """
window.find = (kind, n = 0) => app.graph.nodes.filter(node => node.comfyClass === kind)[n];
window.slot = (node, name) => node.inputs.findIndex(input => input.name === name);
window.put = kind => { const node = LiteGraph.createNode(kind); app.graph.add(node); return node; };
window.giver = (node, name) => {
  const link = app.graph.getLink(node.inputs[slot(node, name)].link);
  return [app.graph.getNodeById(link.origin_id), link.origin_slot];
};
window.between = (node, name, other, input = 0, output = 0) => {
  const [origin, from] = giver(node, name);
  origin.connect(from, other, input);
  other.connect(output, node, slot(node, name));
};
window.queued = async () => (await app.graphToPrompt()).output;
"""
"""`find` a node, `put` a new node, the `slot` of an input, its `giver`, put a node `between`; the `queued` prompt."""

OTHER_PACKS = Path(__file__).with_name("other_packs.js").read_text(encoding="utf-8")
READ = """async () => {
  const {readGraph} = await import('/extensions/comfyui-gcfg/read_graph.js');
  return [readGraph().prompt, await queued()];
}"""
FORMULA = "[...document.querySelectorAll('.gcfg-formula')].map(panel => panel.innerText).join()"
UNREAD = {"seed"}


def prepare(page: Any) -> None:
    """Define the helpers, and nodes like those of other packs, in a page with the interface."""
    page.evaluate(f"() => {{ {HELPERS} }}")
    page.evaluate(f"() => {{ {OTHER_PACKS} }}")


def open_papers_graph(page: Any) -> None:
    page.evaluate("saved => app.loadGraphData(saved)", workflow("concept_and_control"))


def change(page: Any, script: str) -> None:
    page.evaluate(f"async () => {{ {script} }}")


def show_inside(page: Any, nodes: str) -> None:
    """Make a subgraph of these nodes, and show it."""
    change(page, f"app.canvas.setGraph(app.graph.convertToSubgraph(new Set([{nodes}])).subgraph);")


def compare(page: Any) -> dict[str, dict]:
    """Check that the panels read ComfyUI's own prompt for each of our active nodes; return it."""
    read, queued = page.evaluate(READ)
    ours = {node_id: node for node_id, node in read.items() if node["class_type"].startswith("GCFG_")}
    for node_id, node in ours.items():
        if "inputs" in node and node_id in queued:
            known = {name: value for name, value in queued[node_id]["inputs"].items() if name not in UNREAD}
            assert node["inputs"] == known, node
            assert node["class_type"] == queued[node_id]["class_type"]
    return ours


def wait_for_formula(page: Any, *parts: str) -> str:
    """Wait until these parts are in the formula panels, and return their text."""
    end = time.monotonic() + 15
    while not all(part in (text := page.evaluate(f"() => {FORMULA}")) for part in parts):
        assert time.monotonic() < end, f"{parts} are not all in: {text}"
        page.wait_for_timeout(100)
    return text
