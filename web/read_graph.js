/** Our nodes of the shown graph, with what leads to them, as a part of what app.graphToPrompt() would give. */

import { app } from "../../scripts/app.js";
import { attempt } from "./attempt.js";
import { Place, originOf, pathTo } from "./origins.js";

export const TERM = "GCFG_GuidanceTerm";
export const GUIDERS = ["GCFG_Guider", "GCFG_Sampler", "GCFG_Sweep"];
const CHAIN = [TERM, "GCFG_ModifyTerm", "GCFG_MergeTerms", "GCFG_SweepAxis"];
const HOLDS_A_VALUE = /^Primitive(Float|Int|String|StringMultiline)$/;
const NOTHING = {};
/** What an input gets where nodes of other packs do not let it be found. */
const UNREADABLE = { place: new Place({ id: "unreadable", title: "a node that cannot be read" }, []), slot: 0 };
const IGNORED = ["seed", "control_after_generate"];
const MOST_UPSTREAM = 500; // nodes before one condition
const LONGEST_TEXT = 200; // of widgets of other nodes than ours

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
    attempt(node, () => {
      add(prompt, place);
      places.set(place.id, node);
    });
  }
  return { places, prompt };
}

/** Add one of our nodes with its values and links, and the nodes that its links begin at. */
function add(prompt, place) {
  if (prompt[place.id]?.inputs) return;
  addNode(prompt, place, (input, origin) => {
    if (input.type === "CONDITIONING") addUpstream(prompt, origin);
    else addOrigin(prompt, origin);
  });
}

/** Nodes that make terms or axes, or hold a value, are followed; of others the name is enough. */
function addOrigin(prompt, place) {
  const kind = place.node.comfyClass ?? "";
  if (CHAIN.includes(kind) || HOLDS_A_VALUE.test(kind)) add(prompt, place);
  else prompt[place.id] ??= { class_type: kind, _meta: { title: place.node.title ?? "" } };
}

/** A condition's node and all before it, the nearest first: they say when and where the condition is in force. */
function addUpstream(prompt, place) {
  const waiting = [place];
  for (const next of waiting) {
    if (prompt[next.id]?.inputs) continue;
    if (waiting.length > MOST_UPSTREAM) addOrigin(prompt, next);
    else attempt(next.node, () => addNode(prompt, next, (_input, origin) => waiting.push(origin), brief));
  }
}

/** A node with the values of its widgets, each as `written`; `follow` gets every input with the place that gives it. */
function addNode(prompt, place, follow, written = (value) => value) {
  const { node, id } = place;
  const inputs = {};
  prompt[id] = { class_type: node.comfyClass ?? "", _meta: { title: node.title ?? "" }, inputs };
  for (const widget of node.widgets ?? []) {
    const value = isSent(widget) ? written(widget.value) : undefined;
    if (value !== undefined) inputs[widget.name] = value;
  }
  (node.inputs ?? []).forEach((input, slot) => {
    const origin = attempt(node, () => originOf(place, slot) ?? NOTHING) ?? UNREADABLE;
    if (origin === NOTHING) return;
    inputs[input.name] = "value" in origin ? origin.value : [origin.place.id, origin.slot];
    if (origin.place) follow(input, origin.place);
  });
}

const isSent = ({ name, options }) => name && options?.serialize !== false && !IGNORED.includes(name);

/** A value of another pack's widget: numbers, switches and choices as they are, texts cut, the rest left out. */
function brief(value) {
  if (typeof value === "string") return value.slice(0, LONGEST_TEXT);
  return ["number", "boolean"].includes(typeof value) ? value : undefined;
}
