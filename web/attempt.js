/** Errors in other packs' nodes must not stop the panels of all other nodes. */

const warned = new WeakSet();

/** Return an action's result; after an error return undefined and warn in the console, once for each node. */
export function attempt(node, action) {
  try {
    return action();
  } catch (error) {
    if (!warned.has(node)) console.warn(`GCFG: ${node.title} (${node.id}) cannot be shown:`, error);
    warned.add(node);
    return undefined;
  }
}
