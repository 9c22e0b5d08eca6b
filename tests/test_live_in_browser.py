"""Curve and formula on the nodes, in ComfyUI's own web interface, classic and new. Needs Chromium."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rigs.browser import browser, needs_chromium, open_interface, workflow
from rigs.host import ROOT
from rigs.server import ComfyServer
from rigs.substitute import substitute

pytestmark = needs_chromium

RENDERINGS = {"classic": False, "vue": True}
LINE = """() => [...document.querySelectorAll('.gcfg-plot .gcfg-line')].map(path => path.getAttribute('d'))"""
FORMULA = """() => document.querySelector('.gcfg-formula')?.innerText ?? ''"""
SAVED = """async () => ({
  prompt: (await app.graphToPrompt()).output,
  widgets: app.graph.serialize().nodes.map(node => [node.id, node.widgets_values]),
})"""
SET = """([kind, name, value]) => {
  const node = app.graph.nodes.find(node => node.comfyClass === kind);
  const widget = node.widgets.find(widget => widget.name === name);
  widget.value = value;
  widget.callback?.(value);
}"""
OPEN = "saved => app.loadGraphData(saved)"
TERM = "GCFG_GuidanceTerm"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module", params=RENDERINGS)
def page(request: Any, server: ComfyServer, chromium: Any) -> Iterator[Any]:
    page = open_interface(chromium, server, vue=RENDERINGS[request.param])
    yield page
    page.close()


def until(page: Any, script: str, test: str, seconds: float = 15) -> Any:
    """Wait until the value ``v`` of a script passes a test, and return it."""
    page.wait_for_function(f"() => {{ const v = ({script})(); return {test}; }}", timeout=1000 * seconds)
    return page.evaluate(script)


def show_papers_graph(page: Any) -> str:
    page.evaluate(OPEN, workflow("concept_and_control"))
    return until(page, FORMULA, "v.includes('concept(null)') && v.includes('per step')")


def test_the_formula_and_its_cost_are_shown(page):
    text = show_papers_graph(page)
    assert text.splitlines()[:2] == ["3 evaluations per step, 2 models", "D = base(null)"]
    assert "+ 2.5 * (base(control) - base(null))" in text


def test_a_widget_changes_curve_and_formula(page):
    show_papers_graph(page)
    before = until(page, LINE, "v.length === 2 && v.every(Boolean)")
    page.evaluate(SET, [TERM, "curve", "linear"])
    after = until(page, LINE, f"v.join() !== {','.join(before)!r}")
    assert len(after[0]) > len(before[0]) and after[1] == before[1]
    page.evaluate(SET, [TERM, "weight", -1.75])
    assert "- 1.75{linear} * (" in until(page, FORMULA, "v.includes('1.75')")


def test_a_link_changes_the_formula(page):
    show_papers_graph(page)
    page.evaluate(
        """() => {
          const guider = app.graph.nodes.find(node => node.comfyClass === 'GCFG_Sampler');
          guider.disconnectInput(guider.findInputSlot('terms'));
        }"""
    )
    assert "1 evaluation per step, 1 model" in until(page, FORMULA, "!v.includes('concept')")


def test_a_bypassed_term_is_left_out(page):
    show_papers_graph(page)
    page.evaluate(f"() => {{ app.graph.nodes.find(node => node.comfyClass === '{TERM}').mode = 4; }}")
    assert "2 evaluations per step" in until(page, FORMULA, "v.includes('2 evaluations')")


def test_a_mistake_is_told_on_the_node(page):
    show_papers_graph(page)
    page.evaluate(SET, [TERM, "end_percent", 0.2])
    page.evaluate(SET, [TERM, "start_percent", 0.8])
    assert "swap them" in until(page, FORMULA, "v.includes('start_percent')")
    assert page.locator(".gcfg-plot .gcfg-message", has_text="swap them").count() == 1


def test_the_cost_of_a_run_joins_the_formula(page, server):
    prompt = json.loads((ROOT / "workflows" / "api" / "windowed_control.json").read_text(encoding="utf-8"))
    small = substitute(prompt, steps=3)
    next(node for node in small.prompt.values() if "seed" in node["inputs"])["inputs"]["seed"] = time.time_ns() % 2**31
    server.add(small.models, small.images)
    page.evaluate("prompt => app.loadApiJson(prompt, 'small')", small.prompt)
    until(page, FORMULA, "v.includes('per step')")
    page.evaluate("() => app.queuePrompt(0)")
    assert "in 3 calls" in until(page, FORMULA, "v.includes('last run')", seconds=120)
    page.wait_for_timeout(500)
    assert page.locator(".gcfg-formula").count() == 1
    shown = page.evaluate("() => app.graph.nodes.flatMap(node => node.widgets ?? []).map(widget => widget.name)")
    assert not [name for name in shown if "text-preview" in name], "the interface shows the text once more"


def test_the_wheel_scrolls_more_text_than_there_is_room_for(page):
    show_papers_graph(page)
    moved = """overflows => {
      const panel = document.querySelector('.gcfg-formula');
      const text = document.createElement('div');
      text.style.height = overflows ? '2000px' : '5px';
      panel.replaceChildren(text);
      let reached = 0;
      const count = () => (reached += 1);
      const zoom = app.canvas.processMouseWheel;
      app.canvas.processMouseWheel = count;
      panel.parentElement.addEventListener('wheel', count);
      panel.dispatchEvent(new WheelEvent('wheel', { bubbles: true, deltaY: 10, cancelable: true }));
      panel.parentElement.removeEventListener('wheel', count);
      app.canvas.processMouseWheel = zoom;
      return reached;
    }"""
    if page.evaluate("() => LiteGraph.vueNodesMode"):
        pytest.skip("the new rendering takes the wheel before a panel gets it")
    reached = [page.evaluate(moved, overflows) for overflows in (True, False)]
    assert reached[0] == 0 and reached[1] > 0


def test_panels_are_filled_again_when_the_graph_is_opened_again(page):
    show_papers_graph(page)
    page.evaluate("() => app.graph.clear()")
    page.wait_for_timeout(600)
    show_papers_graph(page)
    until(page, LINE, "v.filter(Boolean).length === 2")


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_nothing_of_it_is_saved_or_queued(server, chromium, rendering):
    kept = []
    for extension in (True, False):
        page = open_interface(chromium, server, vue=RENDERINGS[rendering], extension=extension)
        page.evaluate(OPEN, workflow("weight_curves"))
        if extension:
            until(page, LINE, "v.filter(Boolean).length === 3")
        kept.append((page.evaluate(SAVED), sorted(set(page.errors)), page.locator(".gcfg-panel").count()))
        page.close()
    (with_it, errors, panels), (without, other_errors, none) = kept
    assert panels == 4 and none == 0
    assert with_it == without
    assert set(errors) <= set(other_errors)
