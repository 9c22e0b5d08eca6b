/**
 * Links that the pack cg-use-everywhere adds while it queues, and removes again. It lists them in the `extra` of each
 * graph; they are added to the executable nodes, never to the graph.
 */

const BROADCASTER = "Anything Everywhere";
const INPUT_OF_SUBGRAPH = -10;

export class Broadcasts {
  constructor() {
    this.isThere = BROADCASTER in (window.LiteGraph?.registered_node_types ?? {});
    this.graphs = new Map();
  }

  /** Add these links to an executable node that was just made. */
  layInto(executable) {
    const { graph, node, inputs } = executable;
    if (!this.isThere || !graph.extra?.ue_links?.length) return;
    if (!this.graphs.has(graph)) this.graphs.set(graph, { links: linksByNode(graph), view: viewWith(graph) });
    const { links, view } = this.graphs.get(graph);
    for (const link of links.get(String(node.id)) ?? []) {
      const input = inputs[link.target_slot];
      if (!input || input.linkId != null) continue;
      input.linkId = link;
      executable.graph = view;
    }
  }
}

/** Return the links of a graph by the ids of their target nodes. */
function linksByNode(graph) {
  const links = new Map();
  for (const listed of graph.extra.ue_links) {
    const link = {
      origin_id: listed.upstream,
      origin_slot: listed.upstream_slot,
      target_id: listed.downstream,
      target_slot: listed.downstream_slot,
      originIsIoNode: Number(listed.upstream) === INPUT_OF_SUBGRAPH,
    };
    const id = String(link.target_id);
    links.set(id, [...(links.get(id) ?? []), link]);
  }
  return links;
}

/** Return a view of the graph in which a link object is its own id. */
function viewWith(graph) {
  const getLink = (id) => (typeof id === "object" ? id : graph.getLink(id));
  return new Proxy(graph, {
    get: (_graph, key) => {
      if (key === "getLink") return getLink;
      const value = Reflect.get(graph, key, graph);
      return typeof value === "function" ? value.bind(graph) : value;
    },
  });
}
