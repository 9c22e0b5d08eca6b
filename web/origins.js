/** The origins of links, as the web interface itself resolves them when it queues. */

import { quietly } from "./read_only.js";

const NEVER = 2;
const BYPASS = 4;

/**
 * Return the source of an executable node's input: {from, slot}, the executable node and its output; {value}; or null
 * if nothing is sent for it.
 */
export function originOf(executable, slot) {
  const given = quietly(() => executable.resolveInput(slot));
  if (given?.widgetInfo) return given.widgetInfo;
  if (given) return isSent(given.node) ? { from: given.node, slot: given.origin_slot } : null;
  return beside(executable, slot);
}

const isSent = ({ mode, isVirtualNode }) => mode !== NEVER && mode !== BYPASS && !isVirtualNode;

/** Resolve what the interface does not: links that are added late around a subgraph, nodes that write values. */
function beside(executable, slot) {
  const { inputs, graph, nodesByExecutionId: all, subgraphNodePath: path } = executable;
  const link = inputs[slot].linkId == null ? null : graph.getLink(inputs[slot].linkId);
  if (!link) return null;
  if (link.originIsIoNode) return path.length ? originOf(all.get(path.join(":")), link.origin_slot) : null;
  const giver = all.get([...path, link.origin_id].join(":"));
  if (!giver?.applyToGraph) return null;
  const [widget] = giver.widgets ?? [];
  return giver.type === "PrimitiveNode" && widget ? { value: widget.value } : { from: giver, slot: link.origin_slot };
}
