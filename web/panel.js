/** A panel on a node: an element in a DOM widget, shown by the classic and by the new rendering, and never saved. */

import { app } from "../../scripts/app.js";

const MARGIN = 8;
const panels = new WeakMap();

/** The panel of a node, or undefined. */
export const panelOf = (node) => panels.get(node);

/**
 * Add a panel below a node's widgets.
 *
 * @param node the node, just created.
 * @param name the widget's name, one that no input has.
 * @param panel {element, height, grows, show(answer), setRan?(text)}, as createFormulaPanel returns it.
 */
export function addPanel(node, name, panel) {
  const height = panel.height + 2 * MARGIN;
  const widget = node.addDOMWidget(name, "gcfg_panel", panel.element, {
    serialize: false, // not in the prompt
    margin: MARGIN,
    getMinHeight: () => height,
    getMaxHeight: () => (panel.grows ? undefined : height),
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false; // not in the workflow
  panel.element.style.setProperty("--gcfg-height", `${panel.height}px`);
  passOn(panel.element);
  makeRoom(node);
  if (panel.setRan) hear(node, panel);
  panels.set(node, panel);
}

/** A new node, and one that was saved without its panel, gets the height for it. */
function makeRoom(node) {
  const onConfigure = node.onConfigure;
  const grow = () => node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
  node.onConfigure = function (...saved) {
    onConfigure?.apply(this, saved);
    grow();
  };
  grow();
}

/** Take the text that the node sends when it has run. */
function hear(node, panel) {
  const onExecuted = node.onExecuted;
  node.onExecuted = function (output, ...rest) {
    onExecuted?.call(this, output, ...rest);
    if (output?.text) panel.setRan([output.text].flat().join(""));
  };
}

/**
 * In the classic rendering the panel lies over the canvas: wheel and buttons go on to it, as from a node's face;
 * over more text than there is room for the wheel scrolls. The new rendering takes the wheel before a panel gets it.
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

/** Whether the wheel moves something: an element from `inner` out to `outer` with more in it than it shows. */
function canScroll(inner, outer) {
  for (let at = inner; at && outer.contains(at); at = at.parentElement) {
    const overflow = getComputedStyle(at).overflowY;
    if (at.scrollHeight > at.clientHeight + 1 && (overflow === "auto" || overflow === "scroll")) return true;
  }
  return false;
}

/** Load the style sheet that lies beside this file, once. */
export function loadStyle() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("./gcfg.css", import.meta.url).href;
  document.head.append(link);
}

/** An element of this class, with children. */
export function make(tag, name, ...children) {
  const element = document.createElement(tag);
  element.className = name;
  element.append(...children);
  return element;
}
