/**
 * Keep the panels true. Typing, dragging, undo, bypassing, other packs and subgraphs all change a graph, and no event
 * tells of each; reading our few nodes takes a millisecond or two, so they are read again and again, less often where
 * that takes long, and the server is asked where they say something new.
 */

import { api } from "../../scripts/api.js";
import { attempt } from "./attempt.js";
import { panelOf } from "./panel.js";
import { readGraph } from "./read_graph.js";

const EVERY = 250; // milliseconds between two looks
const SHARE = 20; // a look takes at most 1 / SHARE of the time
const GRAPH = { title: "the graph", id: "as a whole" };
const PAUSE = 5000; // milliseconds after a server that did not answer

let asked = "";
let answers = new Map();
let isAsking = false;

/** Begin to follow the graph that is shown. */
export function follow() {
  const began = performance.now();
  attempt(GRAPH, look);
  setTimeout(follow, Math.max(EVERY, SHARE * (performance.now() - began)));
}

function look() {
  if (document.hidden) return;
  const { places, prompt } = readGraph();
  if (!places.size) return;
  const question = JSON.stringify({ prompt, nodes: [...places.values()].flat() });
  if (question !== asked && !isAsking) ask(question, places);
  for (const [node, ids] of places) attempt(node, () => show(panelOf(node), answers.get(ids.join())));
}

function show(panel, answer) {
  if (!panel || panel.shown === answer) return;
  panel.shown = answer;
  panel.show(answer);
}

/** One question at a time; the next look asks what has changed meanwhile. */
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

/** What a node shows that a subgraph holds which is used several times: its first use, and whether others differ. */
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
