/**
 * Keep the panels up to date. Typing, dragging, undo, bypassing, other packs and subgraphs all change a graph, and no
 * event covers them all. Reading our few nodes takes a millisecond or two, so they are read again and again, less often
 * if it takes longer, and the server is asked when something has changed.
 */

import { api } from "../../scripts/api.js";
import { attempt } from "./attempt.js";
import { keepColours } from "./colours.js";
import { hideUnused } from "./curve_widgets.js";
import { dim, panelOf, remount } from "./panel.js";
import { readGraph, TERM } from "./read_graph.js";

const EVERY = 250; // milliseconds between two readings
const SHARE = 20; // reading takes at most 1 / SHARE of the time
const GRAPH = { title: "the graph", id: "as a whole" };
const COLOURS = { title: "the colours of sockets", id: "ours" };
const PAUSE = 5000; // milliseconds to wait after the server did not answer

let asked = "";
let answers = new Map();
let isAsking = false;

/** Begin to follow the displayed graph. */
export function follow() {
  const began = performance.now();
  attempt(GRAPH, look);
  setTimeout(follow, Math.max(EVERY, SHARE * (performance.now() - began)));
}

function look() {
  if (document.hidden) return;
  attempt(COLOURS, keepColours);
  const { places, prompt } = readGraph();
  if (!places.size) return;
  const question = JSON.stringify({ prompt, nodes: [...places.values()].flat() });
  if (question !== asked && !isAsking) ask(question, places);
  for (const [node, ids] of places) attempt(node, () => update(node, answers.get(ids.join())));
}

function update(node, answer) {
  if (node.comfyClass === TERM) hideUnused(node);
  const panel = panelOf(node);
  if (!panel) return;
  remount(node);
  dim(node);
  if (panel.shown !== answer) {
    panel.shown = answer;
    panel.show(answer);
  }
  panel.fit?.();
}

/** Send one request at a time; the next reading sends what has changed meanwhile. */
async function ask(question, places) {
  isAsking = true;
  asked = question;
  try {
    const described = await fetchAnswers(question);
    answers = new Map([...places.values()].map((ids) => [ids.join(), oneOf(ids.map((id) => described[id]))]));
  } catch (error) {
    answers = new Map();
    setTimeout(() => (asked = ""), PAUSE);
    console.warn("GCFG: the server does not describe this graph:", error);
  } finally {
    isAsking = false;
  }
}

/** Return the answer for a node in a repeated subgraph: the first use's, with a note if others differ. */
function oneOf([first, ...others]) {
  const different = others.filter((other) => JSON.stringify(other) !== JSON.stringify(first)).length;
  if (!different) return first;
  return { ...first, notes: [...(first.notes ?? []), `In ${different} other use(s) of this subgraph it differs.`] };
}

async function fetchAnswers(body) {
  const headers = { "Content-Type": "application/json" };
  const response = await api.fetchApi("/gcfg/describe", { method: "POST", headers, body });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()).nodes;
}
