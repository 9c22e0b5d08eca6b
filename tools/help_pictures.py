"""Take the pictures of the nodes' help pages in ComfyUI's own interface: python -m tools.help_pictures [NAME ...].

Needs Chromium and the environment that `python dev.py setup` makes. Writes web/docs/NAME.png.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .interpreter import run_elsewhere

FOLDER = Path(__file__).resolve().parents[1] / "web" / "docs"
SHARPNESS = 1.5
MARGIN = 16

HELPERS = """
window.put = (kind, x, y, values = {}, width = 0) => {
  const node = LiteGraph.createNode(kind);
  node.pos = [x, y];
  app.graph.add(node);
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets.find(widget => widget.name === name);
    widget.value = value;
    widget.callback?.(value);
  }
  if (width) node.setSize([width, node.size[1]]);
  return node;
};
window.join = (from, output, to, input) =>
  from.connect(from.outputs.findIndex(one => one.name === output), to, to.inputs.findIndex(one => one.name === input));
window.paper = (kind, x, y) => {
  const load = put('CheckpointLoaderSimple', 2000, 0), concept = put('GCFG_LoadConceptModel', 2000, 200);
  const empty = put('CLIPTextEncode', 2000, 400), prompt = put('CLIPTextEncode', 2000, 700);
  const first = put('GCFG_GuidanceTerm', 2500, 0, {label: 'concept'});
  const second = put('GCFG_GuidanceTerm', 2500, 600, {label: 'control', start_percent: 0.1});
  const guider = put(kind, x, y, {}, 340);
  join(concept, 'model', first, 'model'); join(prompt, 'CONDITIONING', second, 'positive');
  join(first, 'terms', second, 'terms'); join(load, 'MODEL', guider, 'model');
  join(empty, 'CONDITIONING', guider, 'conditioning'); join(second, 'terms', guider, 'terms');
  return guider;
};
"""
SCENES = {
    "GCFG_LoadStarterWorld": "return [put('GCFG_LoadStarterWorld', 0, 0, {world: 'starter'})];",
    "GCFG_LoadConceptModel": """
        const load = put('GCFG_LoadConceptModel', 0, 0, {concept_name: 'my_concept.safetensors'});
        const term = put('GCFG_GuidanceTerm', 360, 0, {label: 'concept'});
        join(load, 'model', term, 'model'); return [load, term];""",
    "GCFG_GuidanceTerm": """
        const values = {weight: 3, end_percent: 0.8, curve: 'ramp', label: 'control'};
        const text = put('CLIPTextEncode', 0, 0, {text: 'a dog on a beach'}, 260);
        const term = put('GCFG_GuidanceTerm', 320, 0, values); join(text, 'CONDITIONING', term, 'positive');
        return [text, term];""",
    "GCFG_ModifyTerm": """
        const term = put('GCFG_GuidanceTerm', 0, 0);
        const modify = put('GCFG_ModifyTerm', 330, 0, {projection: 'own positive'});
        join(term, 'terms', modify, 'terms'); return [term, modify];""",
    "GCFG_MergeTerms": """
        const a = put('GCFG_GuidanceTerm', 0, 0, {label: 'concept'});
        const b = put('GCFG_GuidanceTerm', 330, 90, {label: 'control'});
        const merge = put('GCFG_MergeTerms', 660, 0, {}, 240);
        join(a, 'terms', merge, 'terms_1'); join(b, 'terms', merge, 'terms_2'); return [a, b, merge];""",
    "GCFG_ApplyTerms": """
        const load = put('GCFG_LoadConceptModel', 0, 0, {concept_name: 'my_concept.safetensors'});
        const term = put('GCFG_GuidanceTerm', 330, 0, {label: 'concept'});
        const apply = put('GCFG_ApplyTerms', 660, 0), sampler = put('KSampler', 980, 0);
        join(load, 'model', term, 'model'); join(term, 'terms', apply, 'terms'); join(apply, 'model', sampler, 'model');
        return [load, term, apply, sampler];""",
    "GCFG_Guider": "return [paper('GCFG_Guider', 0, 0)];",
    "GCFG_Sampler": "return [paper('GCFG_Sampler', 0, 0)];",
    "GCFG_SweepAxis": """
        const values = {parameter: 'weight', term: 'concept', values: '0:3:5'};
        return [put('GCFG_SweepAxis', 0, 0, values, 320)];""",
    "GCFG_Sweep": """
        const columns = put('GCFG_SweepAxis', 0, 0, {term: 'control', values: '0, 1.5, 3, 4.5'});
        const rows = put('GCFG_SweepAxis', 0, 190, {term: 'concept', values: '0, 1, 2, 3'});
        columns.title = 'Columns'; rows.title = 'Rows';
        const sweep = paper('GCFG_Sweep', 380, 0);
        join(columns, 'axis', sweep, 'columns'); join(rows, 'axis', sweep, 'rows');
        return [columns, rows, sweep];""",
}
"""Each builds a graph and returns the nodes to show."""
AFTER_A_RUN = ("GCFG_Report", "GCFG_ComparePredictions")
"""Nodes whose help shows their result; they are in WORKFLOW."""
WORKFLOW = "starter_report"

TAKE = """async (build) => {
  const nodes = new Function(build)();
  const left = Math.min(...nodes.map(node => node.pos[0])), top = Math.min(...nodes.map(node => node.pos[1])) - 54;
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [140 - left, 160 - top];
  app.canvas.setDirty(true, true);
  await new Promise(done => setTimeout(done, 2500));
  return {
    width: Math.max(...nodes.map(node => node.pos[0] + node.size[0])) - left,
    height: Math.max(...nodes.map(node => node.pos[1] + node.size[1])) - top,
  };
}"""


def take(page: Any, name: str) -> Path:
    """Write the picture of one scene."""
    if name in AFTER_A_RUN:
        from rigs.browser import run_workflow

        run_workflow(page, WORKFLOW)
        build = f"return app.graph.nodes.filter(node => node.type === '{name}');"
    else:
        build = f"app.graph.clear(); {SCENES[name]}"
    size = page.evaluate(TAKE, build)
    corner = page.evaluate("() => app.canvas.canvas.getBoundingClientRect().toJSON()")
    clip = {
        "x": corner["x"] + 140 - MARGIN,
        "y": corner["y"] + 160 - MARGIN,
        "width": size["width"] + 2 * MARGIN,
        "height": size["height"] + 2 * MARGIN,
    }
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, clip=clip)
    return path


def main(names: list[str]) -> int:
    """Take the named pictures, or all, and return the exit code."""
    if (code := run_elsewhere("tools.help_pictures", *names)) is not None:
        return code
    from rigs.browser import browser, open_interface
    from rigs.server import ComfyServer

    with ComfyServer() as server, browser() as chromium:
        page = open_interface(chromium, server, sharpness=SHARPNESS)
        page.set_viewport_size({"width": 1600, "height": 1300})
        page.evaluate(f"() => {{ {HELPERS} }}")
        for name in names or (*SCENES, *AFTER_A_RUN):
            print(take(page, name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
