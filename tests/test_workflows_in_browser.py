"""The web interface itself opens every workflow and would queue the prompt of `workflows/api`. Needs Chromium."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from rigs.host import ROOT
from rigs.server import ComfyServer

FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in (FOLDER / "api").glob("*.json"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
READY = "() => window.app && window.app.graph && Object.keys(window.LiteGraph.registered_node_types).length > 100"
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

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with ComfyServer() as server, sync_api.sync_playwright() as playwright:
        server.client.post("/settings/Comfy.TutorialCompleted", True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(server.url, timeout=120_000)
        page.wait_for_function(READY, timeout=120_000)
        yield page
        browser.close()


@pytest.mark.parametrize("name", NAMES)
def test_interface_opens_it(page, name):
    saved = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
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
