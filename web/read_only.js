/** Ask other packs' nodes for their sources, without the side effects of asking. */

import { app } from "../../scripts/app.js";

let views = new WeakMap();

/** Begin another reading: forget the values that nodes wrote into their views during the last. */
export function forgetViews() {
  views = new WeakMap();
}

/** Return a read-only view of a virtual node, which keeps its methods' writes; return other nodes unchanged. */
export function viewOf(node) {
  if (!node.isVirtualNode) return node;
  if (!views.has(node)) views.set(node, makeView(node));
  return views.get(node);
}

function makeView(node) {
  const written = new Map();
  return new Proxy(node, {
    get: (_node, key) => {
      if (written.has(key)) return written.get(key);
      const value = Reflect.get(node, key, node);
      return key === "resolveVirtualOutput" && value ? (slot) => viewed(value.call(views.get(node), slot)) : value;
    },
    set: (_node, key, value) => Boolean(written.set(key, value)),
  });
}

/** Replace the node in a source that a virtual node returns by its view, by which the interface looks it up. */
const viewed = (place) => place && { ...place, node: viewOf(place.node) };

/** Return an action's result, without the messages that it would show to people who did not ask for it. */
export function quietly(action) {
  const restore = [
    silence(window, "alert"),
    silence(console, "warn"),
    silence(app.extensionManager?.toast, "add"),
  ];
  try {
    return action();
  } finally {
    for (const back of restore) back();
  }
}

function silence(owner, name) {
  const loud = owner?.[name];
  if (!loud) return () => {};
  owner[name] = () => {};
  return () => (owner[name] = loud);
}
