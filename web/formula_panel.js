/** The formula of a guidance graph with a line for each term, and what it costs. */

import { make } from "./panel.js";

const HEIGHT = 104;
const COST = `One evaluation is one prediction, by one model under one condition. KSampler with cfg takes 2 per step.
A step of samplers that call the model twice (heun, dpm_2) takes twice as many.`;

/**
 * Create the panel; `show` takes {formula, cost, notes}, {waits} or {error} as the server answers, `setText` the text
 * that the node sends when it runs: the formula, and the cost of that run.
 */
export function createFormulaPanel() {
  const element = make("div", "gcfg-panel gcfg-formula widget-expands");
  let answer;
  let ran = "";

  function render() {
    const { formula, cost, notes = [], waits, error } = answer ?? {};
    const lines = (formula ?? []).map((line) => make("div", "gcfg-term", line));
    const rest = [];
    if (cost) rest.push(make("div", "gcfg-cost", cost));
    const [formulaOfRun, costOfRun] = ran.split("\n");
    if (costOfRun && (!formula || formula.join(" ") === formulaOfRun)) {
      rest.push(make("div", "gcfg-note", `last run: ${costOfRun}`));
    }
    rest.push(...[waits, ...notes].filter(Boolean).map((note) => make("div", "gcfg-note", note)));
    if (error) rest.push(make("div", "gcfg-error", error));
    element.title = cost ? COST : "";
    element.replaceChildren(...lines, ...rest);
  }

  return {
    element,
    height: HEIGHT,
    grows: true,
    show(latest) {
      answer = latest;
      render();
    },
    getText: () => ran,
    setText(text) {
      ran = String(text ?? "");
      render();
    },
  };
}
