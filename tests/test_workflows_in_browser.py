"""The web interface itself opens every workflow and would queue the prompt of `workflows/api`. Needs Chromium."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rigs.browser import browser, needs_chromium, open_interface, workflow
from rigs.host import ROOT
from rigs.server import ComfyServer

FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in (FOLDER / "api").glob("*.json"))
OPEN = """async (saved) => {
  await app.loadGraphData(saved);
  const prompt = (await app.graphToPrompt()).output;
  const nodes = app.graph.nodes.map(node => ({
    type: node.type, known: node.type in LiteGraph.registered_node_types,
    size: [...node.size], needs: [...node.computeSize()],
  }));
  return {prompt, nodes, saved: app.graph.serialize()};
}"""
"""What the interface makes of a saved workflow."""

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with ComfyServer() as server, browser() as chromium:
        yield open_interface(chromium, server)


@pytest.mark.parametrize("name", NAMES)
def test_interface_opens_it(page, name):
    saved = workflow(name)
    queued = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
    opened = page.evaluate(OPEN, saved)
    inputs = {key: (node["class_type"], node["inputs"]) for key, node in opened["prompt"].items()}
    assert inputs == {key: (node["class_type"], node["inputs"]) for key, node in queued.items()}
    for node in opened["nodes"]:
        assert node["known"], f"the interface does not know {node['type']}"
        assert all(have >= need - 1 for have, need in zip(node["size"], node["needs"], strict=True)), node
    widgets = {node["id"]: node.get("widgets_values") for node in opened["saved"]["nodes"]}
    assert all(widgets[node["id"]] == node.get("widgets_values") for node in saved["nodes"] if node["widgets_values"])
    assert opened["saved"]["links"] == saved["links"]
