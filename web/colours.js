/**
 * Colours of our sockets and their links. ComfyUI's palettes know only core's types and forget others when they change,
 * so that ours are set again: for the classic rendering on the canvas, for the new one as CSS variables.
 */

import { app } from "../../scripts/app.js";

const COLOURS = { GCFG_TERMS: "#5aa9e6", GCFG_TRACE: "#e6a15a", GCFG_AXIS: "#7fc8a9" };

export function keepColours() {
  const { style } = document.documentElement;
  const places = [app.canvas?.default_connection_color_byType, window.LGraphCanvas?.link_type_colors];
  for (const [type, colour] of Object.entries(COLOURS)) {
    for (const colours of places) if (colours && !colours[type]) colours[type] = colour;
    const name = `--color-datatype-${type}`;
    if (!style.getPropertyValue(name)) style.setProperty(name, colour);
  }
}
