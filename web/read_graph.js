/** Read our nodes of the displayed graph and the nodes before them, as a part of app.graphToPrompt()'s prompt. */

import { app } from "../../scripts/app.js";
import { attempt } from "./attempt.js";
import { Executables } from "./executable.js";
import { originOf } from "./origins.js";
import { forgetViews } from "./read_only.js";

export const TERM = "GCFG_GuidanceTerm";
export const GUIDERS = ["GCFG_Guider", "GCFG_Sampler", "GCFG_Sweep"];
const CHAIN = [TERM, "GCFG_ModifyTerm", "GCFG_MergeTerms", "GCFG_SweepAxis"];
const SIZED = ["EmptyLatentImage"];
const PATCHED = ["CONDITIONING", "MODEL"]; // followed to the nodes that make them
const HOLDS_A_VALUE = /^Primitive(Float|Int|String|StringMultiline)$/;
const NOTHING = {};
/** The source of an input that cannot be resolved because of another pack's nodes. */
const UNREADABLE = { from: { id: "unreadable", node: {}, title: "a node that cannot be read", inputs: [] }, slot: 0 };
const IGNORED = ["seed", "control_after_generate"];
const MOST_UPSTREAM = 500; // nodes before one condition
const LONGEST_TEXT = 200; // in widgets of nodes that are not ours

/**
 * Read, and change nothing: app.graphToPrompt() itself would let cameras, recorders and 3D views of the graph act.
 *
 * @returns {places, prompt}: our nodes with their ids in the prompt, and the prompt.
 */
export function readGraph() {
  const shown = app.canvas?.graph ?? app.graph;
  const prompt = {};
  const places = new Map();
  const ours = (shown?.nodes ?? []).filter((node) => node.comfyClass === TERM || GUIDERS.includes(node.comfyClass));
  if (!ours.length) return { places, prompt };
  forgetViews();
  const executables = new Executables(app.rootGraph ?? app.graph);
  for (const node of ours) {
    attempt(node, () => {
      const uses = executables.usesOf(node);
      for (const use of uses) add(prompt, use);
      if (uses.length) places.set(node, uses.map((use) => use.id));
    });
  }
  return { places, prompt };
}

/** Add one of our nodes with its values and links, and the nodes that its links begin at. */
function add(prompt, executable) {
  if (prompt[executable.id]?.inputs) return;
  addNode(prompt, executable, (input, origin) => {
    if (PATCHED.includes(input.type)) addUpstream(prompt, origin);
    else addOrigin(prompt, origin);
  });
}

/** Follow nodes that make terms or axes, or hold a value or size; of other nodes add only the name. */
function addOrigin(prompt, executable) {
  const kind = executable.comfyClass ?? "";
  if ([...CHAIN, ...SIZED].includes(kind) || HOLDS_A_VALUE.test(kind)) add(prompt, executable);
  else prompt[executable.id] ??= head(executable);
}

/** Add a condition's or model's node and all before it, the nearest first: they tell what it is, and where in force. */
function addUpstream(prompt, executable) {
  const waiting = [executable];
  for (const next of waiting) {
    if (prompt[next.id]?.inputs) continue;
    if (waiting.length > MOST_UPSTREAM) addOrigin(prompt, next);
    else attempt(next.node, () => addNode(prompt, next, (_input, origin) => waiting.push(origin), brief));
  }
}

/** Describe a node with its widgets' values, each as `written`; `follow` gets every input with its source node. */
function addNode(prompt, executable, follow, written = (value) => value) {
  const inputs = {};
  prompt[executable.id] = { ...head(executable), inputs };
  for (const widget of executable.widgets ?? []) {
    const value = isSent(widget) ? written(widget.value) : undefined;
    if (value !== undefined) inputs[widget.name] = value;
  }
  executable.inputs.forEach((input, slot) => {
    if (IGNORED.includes(input.name)) return;
    const origin = attempt(executable.node, () => originOf(executable, slot) ?? NOTHING) ?? UNREADABLE;
    if (origin === NOTHING) return;
    inputs[input.name] = "value" in origin ? origin.value : [origin.from.id, origin.slot];
    if (origin.from) follow(input, origin.from);
  });
}

const head = ({ comfyClass, title }) => ({ class_type: comfyClass ?? "", _meta: { title: title ?? "" } });

const isSent = ({ name, options }) => name && options?.serialize !== false && !IGNORED.includes(name);

/** Copy a value of another pack's widget: numbers, switches and choices unchanged, texts cut, the rest left out. */
function brief(value) {
  if (typeof value === "string") return value.slice(0, LONGEST_TEXT);
  return ["number", "boolean"].includes(typeof value) ? value : undefined;
}
