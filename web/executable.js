/**
 * The nodes of a graph as the web interface resolves them when it queues: it makes an executable node of each, which
 * knows where its links begin. Nothing here writes to the graph, serializes a widget or lets a node act.
 */

import { app } from "../../scripts/app.js";
import { Broadcasts } from "./broadcasts.js";
import { viewOf } from "./read_only.js";

const DEEPEST = 100; // nested subgraphs
const MOST_USES = 8; // of a subgraph that are described

let Executable;

/**
 * The executable nodes of a graph and its subgraphs by their ids in the prompt: "5", or "12:5" in a subgraph. Each has
 * `node`, `inputs` and `resolveInput`. They are made when they are asked for: few nodes of a large graph lead to ours.
 */
export class Executables extends Map {
  /** @param root the root graph. */
  constructor(root) {
    super();
    this.root = root;
    this.broadcasts = new Broadcasts();
    Executable ??= findClass();
  }

  get(id) {
    return super.get(id) ?? this.find(id.split(":"));
  }

  /** Make all of them: other packs search them for the node that a virtual node leads to. */
  values() {
    this.makeAll(this.root, []);
    return super.values();
  }

  /** Return the executable nodes of a node: several if its subgraph is used several times. */
  usesOf(node) {
    const paths = pathsTo(this.root, node.graph, []).slice(0, MOST_USES);
    return paths.map((path) => this.make(node, path));
  }

  find(ids) {
    const path = [];
    let graph = this.root;
    for (const id of ids) {
      const node = graph?.getNodeById(id);
      if (!node) return undefined;
      if (path.length === ids.length - 1) return this.make(node, path);
      path.push(node);
      graph = node.subgraph;
    }
    return undefined;
  }

  make(node, path) {
    const ids = path.map((around) => around.id);
    const id = [...ids, node.id].join(":");
    if (this.has(id)) return super.get(id);
    const made = new Executable(node, ids, this, path.at(-1));
    made.node = viewOf(node);
    this.broadcasts.layInto(made);
    this.set(id, made);
    return made;
  }

  makeAll(graph, path) {
    if (path.length > DEEPEST) return;
    for (const node of graph.nodes) {
      this.make(node, path);
      if (node.isSubgraphNode?.()) this.makeAll(node.subgraph, [...path, node]);
    }
  }
}

/** Return the subgraph nodes around each use of a graph, the outermost first. */
function pathsTo(from, graph, path) {
  if (from === graph) return [path];
  if (path.length > DEEPEST) return [];
  const around = from.nodes.filter((node) => node.isSubgraphNode?.());
  return around.flatMap((node) => pathsTo(node.subgraph, graph, [...path, node]));
}

/**
 * Return the interface's class, which no module exports: the original app.graphToPrompt, before any pack wraps it,
 * makes an instance for the only node of this graph, which does nothing and is not sent.
 */
function findClass() {
  let made;
  const probe = { id: 0, mode: 0, graph: {}, inputs: [], outputs: [], properties: {}, isVirtualNode: true };
  probe.isSubgraphNode = () => true;
  probe.getInnerNodes = (all) => {
    made = all;
    return [];
  };
  const graph = { computeExecutionOrder: () => [probe], serialize: () => ({ nodes: [], links: [], extra: {} }) };
  Object.getPrototypeOf(app).graphToPrompt?.call(app, graph)?.catch(() => {});
  const Class = made?.get("0")?.constructor;
  if (!Class) throw new Error("this web interface does not say how it resolves links");
  return Class;
}
