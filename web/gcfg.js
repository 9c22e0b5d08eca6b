/**
 * Describe a guidance graph on its nodes before it runs: Guidance Term draws its weight over sampling; GCFG Guider,
 * GCFG Sampler and GCFG Sweep show the formula and its cost. The server computes all of it (nodes/live); this extension
 * asks for it and shows it.
 */

import { app } from "../../scripts/app.js";
import { hideUnused } from "./curve_widgets.js";
import { createFormulaPanel } from "./formula_panel.js";
import { follow } from "./follow.js";
import { addPanel, loadStyle } from "./panel.js";
import { TERM } from "./read_graph.js";
import { createWeightPlot } from "./weight_plot.js";

/** Labels for the text that a node sends when it runs: a guider has not sampled yet. */
const WHAT_RAN = { GCFG_Sampler: "last run", GCFG_Sweep: "last run", GCFG_Guider: "last queued" };

app.registerExtension({
  name: "gcfg.live",

  setup() {
    loadStyle();
    follow();
  },

  nodeCreated(node) {
    if (node.comfyClass === TERM) {
      hideUnused(node);
      node.setSize([node.size[0], node.computeSize()[1]]); // of a new node: a saved one gets its own size later
      addPanel(node, "weight_over_sampling", createWeightPlot());
    }
    const ran = WHAT_RAN[node.comfyClass];
    if (ran) addPanel(node, "formula_and_cost", createFormulaPanel(ran, node.comfyClass !== "GCFG_Sweep"));
  },
});
