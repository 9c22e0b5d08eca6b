/**
 * Keep the panels true. Typing, dragging, undo, bypassing, other packs and subgraphs all change a graph, and no event
 * tells of each; reading our few nodes takes a fraction of a millisecond, so they are read again and again, and the
 * server is asked where they say something new.
 */

import { api } from "../../scripts/api.js";
import { attempt } from "./attempt.js";
import { panelOf } from "./panel.js";
import { readGraph } from "./read_graph.js";

const EVERY = 250; // milliseconds between two looks
const PAUSE = 5000; // milliseconds after a server that did not answer

let asked = "";
let answers = {};
let isAsking = false;

/** Begin to follow the graph that is shown. */
export function follow() {
  setInterval(look, EVERY);
}

function look() {
  if (document.hidden) return;
  const { places, prompt } = readGraph();
  if (!places.size) return;
  const question = JSON.stringify({ prompt, nodes: [...places.keys()] });
  if (question !== asked && !isAsking) ask(question);
  for (const [id, node] of places) attempt(node, () => show(panelOf(node), answers[id]));
}

function show(panel, answer) {
  if (!panel || panel.shown === answer) return;
  panel.shown = answer;
  panel.show(answer);
}

/** One question at a time; the next look asks what has changed meanwhile. */
async function ask(question) {
  isAsking = true;
  asked = question;
  try {
    answers = await fetchAnswers(question);
  } catch (error) {
    answers = {};
    setTimeout(() => (asked = ""), PAUSE);
    console.warn("GCFG: the server does not describe this graph:", error);
  } finally {
    isAsking = false;
  }
}

async function fetchAnswers(body) {
  const headers = { "Content-Type": "application/json" };
  const response = await api.fetchApi("/gcfg/describe", { method: "POST", headers, body });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()).nodes;
}
