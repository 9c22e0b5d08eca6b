"""The panels themselves: hints, undo, colours of sockets, widgets of curves, and room for all text. Needs Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest

from rigs.browser import browser, needs_chromium, open_interface, workflow
from rigs.server import ComfyServer

pytestmark = needs_chromium

RENDERINGS = {"classic": False, "vue": True}
TERM = "GCFG_GuidanceTerm"
OPEN = "saved => app.loadGraphData(saved)"
FORMULA = "() => document.querySelector('.gcfg-formula')?.innerText ?? ''"
SET = """([kind, name, value, index]) => {
  const widget = app.graph.nodes.filter(node => node.comfyClass === kind)[index].widgets.find(one => one.name === name);
  widget.value = value;
  widget.callback?.(value);
}"""
SHOWN = f"""() => app.graph.nodes.filter(node => node.comfyClass === '{TERM}')
  .map(node => node.widgets.filter(widget => !widget.hidden).map(widget => widget.name))"""
PLACES = f"""() => app.graph.nodes.filter(node => node.comfyClass === '{TERM}')[0].widgets
  .filter(widget => !widget.hidden).map(widget => widget.y)"""
SAVED = "() => app.graph.serialize().nodes.map(node => node.widgets_values)"


@pytest.fixture(scope="module", params=RENDERINGS)
def page(request: Any, server: ComfyServer) -> Iterator[Any]:
    with browser() as chromium:
        page = open_interface(chromium, server, vue=RENDERINGS[request.param])
        yield page
        page.close()


def until(page: Any, script: str, test: str, seconds: float = 15) -> Any:
    page.wait_for_function(f"() => {{ const v = ({script})(); return {test}; }}", timeout=1000 * seconds)
    return page.evaluate(script)


def show(page: Any, name: str = "concept_and_control") -> None:
    page.evaluate(OPEN, workflow(name))
    until(page, FORMULA, "v.includes('per step')")


def is_vue(page: Any) -> bool:
    return page.evaluate("() => Boolean(LiteGraph.vueNodesMode)")


def test_a_hint_is_shown_and_goes_with_the_mistake(page: Any) -> None:
    show(page)
    assert page.locator(".gcfg-hint").count() == 0
    page.evaluate(SET, [TERM, "weight", 50, 0])
    text = until(page, FORMULA, "v.includes('add up to')")
    assert "above 20 most pictures burn" in text and page.locator(".gcfg-hint").count() == 1
    page.evaluate(SET, [TERM, "weight", 2, 0])
    until(page, FORMULA, "!v.includes('add up to')")


def test_undo_brings_back_formula_and_curve(page: Any) -> None:
    """U3: the new rendering keeps the element of the node that undo has replaced."""
    show(page)
    page.wait_for_timeout(500)
    tracker = "app.extensionManager.workflow.activeWorkflow.changeTracker"
    for number in (1, 2):
        page.evaluate(SET, [TERM, "weight", 3.25 + number, 1])
        page.evaluate(f"() => {{ {tracker}.checkState(); }}")
        until(page, FORMULA, f"v.includes('{3.25 + number}')")
    for text in ("4.25", "2.5 * (base(control)"):
        page.evaluate(f"async () => {{ await {tracker}.undo(); }}")
        until(page, FORMULA, f"v.includes('{text}') && !v.includes('5.25')")
    assert page.locator(".gcfg-formula").count() == 1 and page.locator(".gcfg-plot").count() == 2
    page.evaluate(SET, [TERM, "weight", 1.75, 1])
    until(page, FORMULA, "v.includes('1.75')")
    top = "() => [...document.querySelectorAll('.gcfg-plot .gcfg-top')].map(one => one.textContent)"
    until(page, top, "v.includes('1.75')")


def test_room_for_a_hint_is_nothing_to_undo(page: Any) -> None:
    show(page)
    page.wait_for_timeout(600)
    tracker = "app.extensionManager.workflow.activeWorkflow.changeTracker"
    steps = f"() => {{ {tracker}.checkState(); return {tracker}.undoQueue.length; }}"
    before = page.evaluate(steps)
    page.evaluate(SET, [TERM, "weight", 60, 0])
    page.evaluate(SET, [TERM, "label", "a label that is long enough for a line of its own in the formula", 0])
    assert page.evaluate(steps) == before + 1
    until(page, FORMULA, "v.includes('add up to')")
    page.wait_for_timeout(600)
    assert page.evaluate(steps) == before + 1
    page.evaluate(f"async () => {{ await {tracker}.undo(); }}")
    until(page, FORMULA, "!v.includes('add up to') && v.includes('concept')")
    page.wait_for_timeout(600)
    page.evaluate(steps)
    assert page.evaluate(f"() => {tracker}.redoQueue.length") == 1


def test_sockets_of_our_types_have_colours_that_stay(page: Any) -> None:
    show(page)
    read = """() => [app.canvas.default_connection_color_byType.GCFG_TERMS, LGraphCanvas.link_type_colors.GCFG_TERMS,
      getComputedStyle(document.documentElement).getPropertyValue('--color-datatype-GCFG_TERMS')]"""
    colours = until(page, read, "v.every(Boolean)")
    assert len(set(colours)) == 1
    page.evaluate("""() => { app.canvas.default_connection_color_byType.GCFG_TERMS = '';
      document.documentElement.style.removeProperty('--color-datatype-GCFG_TERMS'); }""")
    assert until(page, read, "v.every(Boolean)") == colours


def test_only_the_widgets_of_the_chosen_curve_are_shown(page: Any) -> None:
    show(page)
    own = {"curve_end", "curve_ramp", "keyframes"}
    before = page.evaluate(SAVED)
    shown = until(page, SHOWN, "!v[0].includes('keyframes')")
    assert not own.intersection(shown[0]) and {"weight", "curve", "label"} <= set(shown[0])
    for curve, widget in {"linear": "curve_end", "cosine": "curve_end", "ramp": "curve_ramp"}.items():
        page.evaluate(SET, [TERM, "curve", curve, 0])
        assert own.intersection(until(page, SHOWN, f"v[0].includes('{widget}')")[0]) == {widget}
    page.evaluate(SET, [TERM, "curve", "constant", 0])
    until(page, SHOWN, "!v[0].includes('curve_ramp')")
    if not is_vue(page):  # no gap where a hidden widget was
        page.wait_for_timeout(500)
        places = page.evaluate(PLACES)
        assert max(below - above for above, below in zip(places, places[1:], strict=False)) < 40
    assert page.evaluate(SAVED) == before


def test_the_panel_of_a_bypassed_term_is_dim(page: Any) -> None:
    show(page)
    assert page.locator(".gcfg-plot.gcfg-is-off").count() == 0
    page.evaluate(f"() => {{ app.graph.nodes.find(node => node.comfyClass === '{TERM}').mode = 4; }}")
    page.wait_for_function("() => document.querySelectorAll('.gcfg-plot.gcfg-is-off').length === 1")


@pytest.mark.parametrize("name", ["negative_term", "weight_curves", "starter_regional_masks"])
def test_there_is_room_for_the_whole_formula(page: Any, name: str) -> None:
    """U6: also when the cost of a run joins it."""
    show(page, name)
    page.evaluate("""() => {
      const node = app.graph.nodes.find(node => node.comfyClass === 'GCFG_Sampler');
      const lines = [...document.querySelectorAll('.gcfg-term')].map(one => one.textContent);
      node.onExecuted({ text: [`${lines.join(' ')}\\n75 evaluations in 25 calls, 2 models`] });
    }""")
    until(page, FORMULA, "v.includes('in 25 calls')")
    page.wait_for_timeout(500)
    panel = page.evaluate("""() => {
      const panel = document.querySelector('.gcfg-formula');
      return { text: panel.scrollHeight, room: panel.clientHeight };
    }""")
    assert panel["text"] <= panel["room"] + 1
