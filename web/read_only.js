/** Ask nodes of other packs where they lead, without what they do beside answering. */

import { app } from "../../scripts/app.js";

let views = new WeakMap();

/** Begin another reading: what nodes wrote into their views in the one before is forgotten. */
export function forgetViews() {
  views = new WeakMap();
}

/** A virtual node, for reading only: what its own methods write stays in the view. Other nodes as they are. */
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

/** A place that a virtual node names, with the view of its node, by which the interface looks for it. */
const viewed = (place) => place && { ...place, node: viewOf(place.node) };

/** What an action returns; messages that it wants to show to people, who did not ask for it, are dropped. */
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
