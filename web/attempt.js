/** What other packs do to nodes must not stop the panels of all others. */

const warned = new WeakSet();

/** What an action on a node returns; undefined where it fails, and a warning in the console, once for each node. */
export function attempt(node, action) {
  try {
    return action();
  } catch (error) {
    if (!warned.has(node)) console.warn(`GCFG: ${node.title} (${node.id}) cannot be shown:`, error);
    warned.add(node);
    return undefined;
  }
}
