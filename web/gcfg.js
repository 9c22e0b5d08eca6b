/**
 * What a guidance graph means, on its nodes and before it runs: Guidance Term draws its weight over sampling, GCFG
 * Guider and GCFG Sampler show the formula and its cost. The server says all of it (nodes/live); here it is asked and
 * shown.
 */

import { app } from "../../scripts/app.js";
import { createFormulaPanel } from "./formula_panel.js";
import { follow } from "./follow.js";
import { addPanel, loadStyle } from "./panel.js";
import { GUIDERS, TERM } from "./read_graph.js";
import { createWeightPlot } from "./weight_plot.js";

/** The name under which ComfyUI's interface puts the text that a running node sends: it fills our panel instead. */
const TEXT_OF_A_RUN = "$$node-text-preview";

app.registerExtension({
  name: "gcfg.live",

  setup() {
    loadStyle();
    follow();
  },

  nodeCreated(node) {
    if (node.comfyClass === TERM) addPanel(node, "weight_over_sampling", createWeightPlot());
    if (GUIDERS.includes(node.comfyClass)) addPanel(node, TEXT_OF_A_RUN, createFormulaPanel());
  },
});
