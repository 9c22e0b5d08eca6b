"""The web interface's own template browser shows every workflow and opens it as it was saved. Needs Chromium."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from rigs.browser import browser, needs_chromium, notices, open_interface, workflow
from rigs.host import ROOT
from rigs.server import ComfyServer
from rigs.template_browser import PICTURE_IS_THERE, RUN, all_cards, click_card, open_templates

FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in (FOLDER / "api").glob("*.json"))
TEXTS = json.loads((ROOT / "web" / "templates.json").read_text(encoding="utf-8"))
SHIPPED = {path.name for path in (ROOT / "starter" / "concepts").glob("*.safetensors")}
CLICKED = "starter_concept_and_control"
OPEN = "([saved, name]) => app.loadGraphData(saved, true, true, name, {openSource: 'template'})"
"""As the template browser does."""
READ = """async () => {
  const prompt = (await app.graphToPrompt()).output;
  const nodes = app.graph.nodes.map(node => ({
    type: node.type, known: node.type in LiteGraph.registered_node_types,
    size: [...node.size], needs: [...node.computeSize()],
  }));
  return {prompt, nodes, saved: app.graph.serialize()};
}"""
"""What the interface makes of the shown workflow."""
FEW_STEPS = """() => {
  const sampler = app.graph.nodes.find(node => node.type === 'GCFG_Sampler');
  sampler.widgets.find(widget => widget.name === 'steps').value = 2;
}"""
PICTURE = "card => [...card.querySelectorAll('img')].some(image => image.complete && image.naturalWidth > 0)"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page(server: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The interface of a server that has every file which a workflow names: newer ones warn of missing models."""
    empty = tmp_path_factory.mktemp("models") / "empty"
    empty.touch()
    models: dict[str, dict[str, Path]] = {}
    for folder, name in set(chain.from_iterable(model_files(workflow(name)) for name in NAMES)):
        models.setdefault(folder, {})[name] = empty
    server.add(models)
    with browser() as chromium:
        yield open_interface(chromium, server)
    for folder, names in models.items():
        for name in names:
            (server.base / "models" / folder / name).unlink()


def model_files(saved: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(folder, name) of the files that have to be put there."""
    for node in saved["nodes"]:
        yield from ((model["directory"], model["name"]) for model in node["properties"].get("models", ()))
        if node["type"] == "GCFG_LoadConceptModel" and node["widgets_values"][0] not in SHIPPED:
            yield "gcfg_concepts", node["widgets_values"][0]


def api_form(name: str) -> dict[str, dict]:
    return json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))


def queued(prompt: dict[str, dict]) -> dict[str, tuple]:
    """What of a prompt the server acts on."""
    return {key: (node["class_type"], node["inputs"]) for key, node in prompt.items()}


def test_every_workflow_has_its_texts():
    assert sorted(text["name"] for text in TEXTS) == NAMES
    assert all(text["title"] and text["description"].endswith(".") for text in TEXTS)


def test_the_template_browser_shows_every_workflow_and_opens_what_is_clicked(page):
    open_templates(page)
    shown = all_cards(page)
    names = shown.evaluate_all("cards => cards.map(card => card.dataset.testid.replace('template-workflow-', ''))")
    assert names == [text["name"] for text in TEXTS], "not in the order in which they are best read"
    for index, text in enumerate(TEXTS):
        card = shown.nth(index)
        card.scroll_into_view_if_needed()
        said = card.inner_text()
        assert text["title"] in said
        page.wait_for_function(PICTURE, arg=card.element_handle(), timeout=10_000)
    page.errors.clear()
    click_card(page, CLICKED)
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow(CLICKED)["nodes"]))
    assert queued(page.evaluate(READ)["prompt"]) == queued(api_form(CLICKED))
    assert notices(page) == []
    assert page.errors == []


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_as_it_was_saved(page, name):
    saved = workflow(name)
    page.errors.clear()
    page.evaluate(OPEN, [saved, name])
    opened = page.evaluate(READ)
    assert queued(opened["prompt"]) == queued(api_form(name))
    for node in opened["nodes"]:
        assert node["known"], f"the interface does not know {node['type']}"
        assert all(have >= need - 1 for have, need in zip(node["size"], node["needs"], strict=True)), node
    widgets = {node["id"]: node.get("widgets_values") for node in opened["saved"]["nodes"]}
    assert all(widgets[node["id"]] == node.get("widgets_values") for node in saved["nodes"] if node["widgets_values"])
    assert opened["saved"]["links"] == saved["links"]
    assert notices(page) == []
    assert page.errors == []


@pytest.mark.parametrize("name", NAMES)
def test_its_api_form_comes_back(page, name):
    page.evaluate("([prompt, name]) => app.loadApiJson(prompt, name)", [api_form(name), name])
    assert queued(page.evaluate(READ)["prompt"]) == queued(api_form(name))


def test_run_brings_the_image_of_the_papers_graph_into_the_page(page):
    """The last one here: a node that has shown a picture keeps room for it."""
    page.evaluate(OPEN, [workflow(CLICKED), CLICKED])
    page.evaluate(FEW_STEPS)
    page.errors.clear()
    page.locator(RUN).first.click()
    page.wait_for_function(PICTURE_IS_THERE)
    assert notices(page) == []
    assert page.errors == []
