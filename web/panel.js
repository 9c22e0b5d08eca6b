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
 * @param panel {element, height, grows, show(answer), getText?(), setText?(text)}, as createFormulaPanel returns it.
 */
export function addPanel(node, name, panel) {
  const height = panel.height + 2 * MARGIN;
  const widget = node.addDOMWidget(name, "gcfg_panel", panel.element, {
    serialize: false, // not in the prompt
    margin: MARGIN,
    getMinHeight: () => height,
    getMaxHeight: () => (panel.grows ? undefined : height),
    getValue: () => panel.getText?.() ?? "",
    setValue: (text) => panel.setText?.(text),
  });
  widget.serialize = false; // not in the workflow
  panel.element.style.setProperty("--gcfg-height", `${panel.height}px`);
  passOn(panel.element);
  makeRoom(node);
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

/** In the classic rendering the panel lies over the canvas: wheel and buttons go on to it, as from a node's face. */
function passOn(element) {
  const isClassic = () => !window.LiteGraph?.vueNodesMode;
  element.addEventListener("wheel", (event) => isClassic() && app.canvas.processMouseWheel(event), { passive: false });
  const buttons = { pointerdown: "processMouseDown", pointermove: "processMouseMove", pointerup: "processMouseUp" };
  for (const [name, method] of Object.entries(buttons)) {
    element.addEventListener(name, (event) => {
      if (isClassic() && (name === "pointerdown" || event.buttons)) app.canvas[method](event);
    });
  }
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
