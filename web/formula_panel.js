/** A panel with a guidance graph's cost, and its formula with a line for each term. */

import { make } from "./panel.js";

const HEIGHT = 104;
const HIGHEST = 300; // longer texts scroll
const PADDING = 12; // above and below the text
const COST = `One evaluation is one prediction, by one model under one condition. KSampler with cfg takes 2 per step.
A step of samplers that call the model twice (heun, dpm_2) takes twice as many.`;

/**
 * Create the panel; `show` takes {formula, formula_of_run, cost, notes, hints}, {waits} or {error} as the server
 * answers, `setRan` the text that the node sends after a run: the formula and its cost.
 *
 * @param ranName the label of that cost, for example "last run".
 * @param grows whether it fills the node's free space, which then has no picture.
 */
export function createFormulaPanel(ranName, grows) {
  const text = make("div", "gcfg-text");
  const element = make("div", "gcfg-panel gcfg-formula widget-expands", text);
  let answer;
  let ran = "";

  function render() {
    const { formula, formula_of_run: plain, cost, notes = [], hints = [], waits, error } = answer ?? {};
    const lines = (name, texts) => texts.filter(Boolean).map((line) => make("div", name, line));
    const [formulaOfRun, costOfRun] = ran.split("\n");
    const isOfRun = costOfRun && (!plain || plain === formulaOfRun);
    element.title = cost ? COST : "";
    text.replaceChildren(
      ...lines("gcfg-cost", [cost]),
      ...lines("gcfg-error", [error]),
      ...lines("gcfg-term", formula ?? []),
      ...lines("gcfg-hint", hints),
      ...lines("gcfg-note", [isOfRun && `${ranName}: ${costOfRun}`, waits, ...notes]),
    );
  }

  const panel = {
    element,
    height: HEIGHT,
    grows,
    show(latest) {
      answer = latest;
      render();
    },
    setRan(sent) {
      ran = String(sent ?? "");
      render();
    },
  };
  /** Give the text the room that it needs at the node's width; it has no height while it is not shown. */
  panel.fit = () => {
    if (text.offsetHeight) panel.setHeight(Math.min(Math.max(HEIGHT, text.offsetHeight + PADDING), HIGHEST));
  };
  return panel;
}
