/** A panel with a guidance graph's cost, and its formula with a line for each term. */

import { make } from "./panel.js";

const HEIGHT = 104;
const COST = `One evaluation is one prediction, by one model under one condition. KSampler with cfg takes 2 per step.
A step of samplers that call the model twice (heun, dpm_2) takes twice as many.`;

/**
 * Create the panel; `show` takes {formula, cost, notes}, {waits} or {error} as the server answers, `setRan` the text
 * that the node sends after a run: the formula and its cost.
 *
 * @param ranName the label of that cost, for example "last run".
 * @param grows whether it fills the node's free space, which then has no picture.
 */
export function createFormulaPanel(ranName, grows) {
  const element = make("div", "gcfg-panel gcfg-formula widget-expands");
  let answer;
  let ran = "";

  function render() {
    const { formula, cost, notes = [], waits, error } = answer ?? {};
    const head = cost ? [make("div", "gcfg-cost", cost)] : [];
    const [formulaOfRun, costOfRun] = ran.split("\n");
    if (costOfRun && (!formula || formula.join(" ") === formulaOfRun)) {
      head.push(make("div", "gcfg-note", `${ranName}: ${costOfRun}`));
    }
    if (error) head.push(make("div", "gcfg-error", error));
    const lines = (formula ?? []).map((line) => make("div", "gcfg-term", line));
    const rest = [waits, ...notes].filter(Boolean).map((note) => make("div", "gcfg-note", note));
    element.title = cost ? COST : "";
    element.replaceChildren(...head, ...lines, ...rest);
  }

  return {
    element,
    height: HEIGHT,
    grows,
    show(latest) {
      answer = latest;
      render();
    },
    setRan(text) {
      ran = String(text ?? "");
      render();
    },
  };
}
