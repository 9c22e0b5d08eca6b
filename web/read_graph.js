/** Our nodes of the shown graph, with what leads to them, as a part of what app.graphToPrompt() would give. */

import { app } from "../../scripts/app.js";
import { Place, originOf, pathTo } from "./origins.js";

export const TERM = "GCFG_GuidanceTerm";
export const GUIDERS = ["GCFG_Guider", "GCFG_Sampler"];
const CHAIN = [TERM, "GCFG_ModifyTerm", "GCFG_MergeTerms"];
const HOLDS_A_VALUE = /^Primitive(Float|Int|String|StringMultiline)$/;
const IGNORED = ["seed", "control_after_generate"];

/**
 * Read, and change nothing: app.graphToPrompt() itself would let cameras, recorders and 3D views of the graph act.
 *
 * @returns {places, prompt}: our nodes by their ids in the prompt, and the prompt.
 */
export function readGraph() {
  const graph = app.canvas?.graph ?? app.graph;
  const prompt = {};
  const places = new Map();
  const ours = (graph?.nodes ?? []).filter((node) => node.comfyClass === TERM || GUIDERS.includes(node.comfyClass));
  const path = ours.length ? pathTo(app.rootGraph ?? app.graph, graph) : [];
  for (const node of ours) {
    const place = new Place(node, path);
    places.set(place.id, node);
    add(prompt, place);
  }
  return { places, prompt };
}

/** Add a node with its values and links, and the nodes that its links begin at. */
function add(prompt, place) {
  const { node, id } = place;
  if (prompt[id]?.inputs) return;
  const inputs = {};
  prompt[id] = { class_type: node.comfyClass ?? "", _meta: { title: node.title ?? "" }, inputs };
  for (const widget of node.widgets ?? []) {
    if (widget.name && widget.options?.serialize !== false && !IGNORED.includes(widget.name)) {
      inputs[widget.name] = widget.value;
    }
  }
  (node.inputs ?? []).forEach((input, slot) => {
    const origin = originOf(place, slot);
    if (origin === null) return;
    inputs[input.name] = "value" in origin ? origin.value : [origin.place.id, origin.slot];
    if (origin.place) addOrigin(prompt, origin.place);
  });
}

/** Nodes that make terms or hold a value are followed; of others the name is enough. */
function addOrigin(prompt, place) {
  const kind = place.node.comfyClass ?? "";
  if (CHAIN.includes(kind) || HOLDS_A_VALUE.test(kind)) add(prompt, place);
  else prompt[place.id] ??= { class_type: kind, _meta: { title: place.node.title ?? "" } };
}
