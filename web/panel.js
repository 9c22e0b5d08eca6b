/** A panel on a node: an element in a DOM widget, shown by the classic and by the new rendering, and never saved. */

import { app } from "../../scripts/app.js";
import { attempt } from "./attempt.js";

const MARGIN = 8;
const SETTLED = 400; // milliseconds
const NEVER = 2;
const BYPASS = 4;
const panels = new WeakMap();

/** The panel of a node, or undefined. */
export const panelOf = (node) => panels.get(node);

/**
 * Add a panel below a node's widgets.
 *
 * @param node the node, just created.
 * @param name the widget's name, which no input has.
 * @param panel {element, height, grows, show(answer), setRan?(text), fit?()}, as createFormulaPanel returns it; it
 *   gets setHeight(pixels).
 */
export function addPanel(node, name, panel) {
  const height = () => panel.height + 2 * MARGIN;
  const widget = node.addDOMWidget(name, "gcfg_panel", panel.element, {
    serialize: false, // not in the prompt
    margin: MARGIN,
    getMinHeight: height,
    getMaxHeight: () => (panel.grows ? undefined : height()),
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false; // not in the workflow
  passOn(panel.element);
  const grow = makeRoom(node);
  const setHeight = (pixels) => {
    panel.height = pixels;
    panel.element.style.setProperty("--gcfg-height", `${pixels}px`);
    grow();
  };
  setHeight(panel.height);
  panel.setHeight = (pixels) => {
    if (pixels === panel.height) return;
    setHeight(pixels);
    keepOutOfHistory(node);
    setTimeout(() => keepOutOfHistory(node), SETTLED); // the new rendering sizes the node by itself
  };
  if (panel.setRan) hear(node, panel);
  panels.set(node, panel);
}

/** Make a new node, or a node that was saved without its panel, high enough for it; return the function that does. */
function makeRoom(node) {
  const onConfigure = node.onConfigure;
  const grow = () => node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
  node.onConfigure = function (...saved) {
    onConfigure?.apply(this, saved);
    grow();
  };
  return grow;
}

/**
 * Write a node's new size into the last state that ComfyUI compares the graph with: room for a panel is no change that a
 * person made, and none to undo.
 */
function keepOutOfHistory(node) {
  const state = app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.activeState;
  const saved = state?.nodes?.find((one) => String(one.id) === String(node.id));
  if (!saved) return;
  attempt(node, () => {
    saved.size = [node.size[0], node.size[1]];
    const moved = Math.hypot(node.pos[0] - saved.pos[0], node.pos[1] - saved.pos[1]);
    if (moved < 1) saved.pos = [node.pos[0], node.pos[1]]; // the new rendering rounds it anew
  });
}

/**
 * Put a panel into the place of the one before, which the new rendering keeps when undo or a reload makes a node again
 * under its old id.
 */
export function remount(node) {
  const { element } = panels.get(node);
  if (element.isConnected || !window.LiteGraph?.vueNodesMode) return;
  const shown = document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"]`);
  shown?.querySelector(".gcfg-panel")?.replaceWith(element);
}

/** Dim the panel of a node that is bypassed or muted. */
export function dim(node) {
  panels.get(node).element.classList.toggle("gcfg-is-off", node.mode === NEVER || node.mode === BYPASS);
}

/** Show the text that the node sends after a run. */
function hear(node, panel) {
  const onExecuted = node.onExecuted;
  node.onExecuted = function (output, ...rest) {
    onExecuted?.call(this, output, ...rest);
    if (output?.text) panel.setRan([output.text].flat().join(""));
  };
}

/**
 * Pass wheel and buttons on to the canvas, which the panel covers in the classic rendering. Over text that is longer
 * than the panel the wheel scrolls it. The new rendering handles the wheel before a panel gets it.
 */
function passOn(element) {
  const isClassic = () => !window.LiteGraph?.vueNodesMode;
  const onWheel = (event) => {
    if (!event.ctrlKey && canScroll(event.target, element)) event.stopPropagation();
    else if (isClassic()) app.canvas.processMouseWheel(event);
  };
  element.addEventListener("wheel", onWheel, { passive: false });
  for (const [name, method] of [["pointerdown", "processMouseDown"], ["pointermove", "processMouseMove"]]) {
    element.addEventListener(name, (event) => {
      if (isClassic() && (name === "pointerdown" || event.buttons)) app.canvas[method](event);
    });
  }
}

/** True if the wheel can scroll an element from `inner` out to `outer`: its content is larger than itself. */
function canScroll(inner, outer) {
  for (let at = inner; at && outer.contains(at); at = at.parentElement) {
    const overflow = getComputedStyle(at).overflowY;
    if (at.scrollHeight > at.clientHeight + 1 && (overflow === "auto" || overflow === "scroll")) return true;
  }
  return false;
}

/** Load the style sheet beside this file, once. */
export function loadStyle() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("./gcfg.css", import.meta.url).href;
  document.head.append(link);
}

/** Make an element of this class, with children. */
export function make(tag, name, ...children) {
  const element = document.createElement(tag);
  element.className = name;
  element.append(...children);
  return element;
}
