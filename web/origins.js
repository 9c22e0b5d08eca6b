/** Where a link begins once bypassed nodes, reroutes, primitives and the walls of subgraphs are seen through. */

const NEVER = 2;
const BYPASS = 4;
const INPUT_OF_SUBGRAPH = -10;
const DEEPEST = 200;

/** A node, and the subgraph nodes that it lies in, from the outermost. */
export class Place {
  constructor(node, path) {
    this.node = node;
    this.path = path;
  }

  /** Its id in the prompt, such as "5", or "12:5" in a subgraph. */
  get id() {
    return [...this.path, this.node].map((node) => node.id).join(":");
  }
}

/** The subgraph nodes that lead from the root graph to this one; empty where several uses of a subgraph share it. */
export function pathTo(root, graph) {
  const paths = graph === root ? [] : pathsTo(root, graph, []);
  return paths.length === 1 ? paths[0] : [];
}

function pathsTo(from, graph, path) {
  if (path.length > DEEPEST) return [];
  return (from?.nodes ?? []).filter(isSubgraph).flatMap((node) => {
    const inner = [...path, node];
    return node.subgraph === graph ? [inner] : pathsTo(node.subgraph, graph, inner);
  });
}

const isSubgraph = (node) => Boolean(node.isSubgraphNode?.());

/**
 * What an input of a node gets: {place, slot} of the node and output that give it, {value} of a primitive, or null.
 *
 * @param place the node. @param slot the index of its input.
 */
export function originOf(place, slot, depth = 0) {
  const { node, path } = place;
  const input = node.inputs?.[slot];
  const link = input?.link == null ? null : linkOf(node.graph, input.link);
  if (!link || depth > DEEPEST) return null;
  if (link.origin_id === INPUT_OF_SUBGRAPH) return outside(path, link.origin_slot, depth);
  const origin = node.graph.getNodeById(link.origin_id);
  return origin ? given(new Place(origin, path), link.origin_slot, input.type, depth + 1) : null;
}

const linkOf = (graph, id) => graph?.getLink?.(id) ?? graph?.links?.get?.(id) ?? graph?.links?.[id] ?? null;

/** What the subgraph node around gets at an input. */
function outside(path, slot, depth) {
  const around = path.at(-1);
  if (!around) return { place: new Place({ id: "outside", title: "the subgraph's input" }, []), slot };
  const origin = originOf(new Place(around, path.slice(0, -1)), slot, depth + 1);
  const input = around.inputs?.[slot];
  if (origin || input?.link != null) return origin;
  const widget = input && around.getWidgetFromSlot?.(input);
  return widget ? { value: widget.value } : null;
}

/**
 * What gives the value of a node's output, which an input of this type takes. Other packs' virtual nodes are not asked
 * where they lead: some answer with a dialog, and this is read several times a second.
 */
function given(place, slot, type, depth) {
  const { node, path } = place;
  if (depth > DEEPEST || node.mode === NEVER) return null;
  if (node.mode === BYPASS) return originOf(place, inputBehind(node, slot, type), depth + 1);
  if (isSubgraph(node)) return inside(place, slot, type, depth);
  if (node.type === "Reroute") return originOf(place, 0, depth + 1);
  if (node.type !== "PrimitiveNode") return { place, slot };
  const widget = node.widgets?.[0];
  return widget ? { value: widget.value } : null;
}

/** What gives an output of a subgraph node: a node in it, or what is handed straight through. */
function inside(place, slot, type, depth) {
  const { node, path } = place;
  const link = node.subgraph.outputNode?.slots[slot]?.getLinks().at(0);
  if (!link) return null;
  if (link.origin_id === INPUT_OF_SUBGRAPH) return outside([...path, node], link.origin_slot, depth + 1);
  const origin = node.subgraph.getNodeById(link.origin_id);
  return origin ? given(new Place(origin, [...path, node]), link.origin_slot, type, depth + 1) : null;
}

/** The input that a bypassed node passes on: the one beside the output if it fits, else the first of the type. */
function inputBehind(node, slot, type) {
  const fits = (input) => input && (input.type === type || type === "*" || input.type === "*");
  return fits(node.inputs?.[slot]) ? slot : (node.inputs ?? []).findIndex(fits);
}
