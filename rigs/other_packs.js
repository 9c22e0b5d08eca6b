// Nodes like those of other packs, which exist only in the page, each with its side effects.

const { app } = window.comfyAPI.app;
window.acts = []; // side effects, of which none may happen

class StandInNode extends LiteGraph.LGraphNode {
  constructor(title) {
    super(title);
    this.isVirtualNode = true;
    this.serialize_widgets = true;
  }
}

// A value is set by a name in one place, and taken by it in another.
class StandInSet extends StandInNode {
  constructor(title) {
    super(title);
    this.addInput("value", "*");
    this.addWidget("text", "name", "", () => {});
  }
}

const isSetter = (node, name) => node.type === "StandInSet" && node.widgets[0].value === name;
const setterIn = (graph, name) => graph.nodes.find((node) => isSetter(node, name));

class StandInGet extends StandInNode {
  constructor(title) {
    super(title);
    this.addOutput("value", "*");
    this.addWidget("text", "name", "", () => {});
  }

  getInputLink(slot) {
    const setter = setterIn(this.graph, this.widgets[0].value);
    if (!setter && !this.resolveVirtualOutput()) this.complain();
    return setter ? this.graph.getLink(setter.inputs[slot].link) : null;
  }

  // From within a subgraph: the value that the surrounding graph has set.
  resolveVirtualOutput() {
    if (setterIn(this.graph, this.widgets[0].value)) return undefined;
    const setter = setterIn(app.graph, this.widgets[0].value);
    const link = setter && app.graph.getLink(setter.inputs[0].link);
    return link ? { node: app.graph.getNodeById(link.origin_id), slot: link.origin_slot } : undefined;
  }

  complain() {
    this.complains = true;
    app.extensionManager.toast.add({ severity: "warn", summary: "nothing of this name", life: 1 });
    window.alert("nothing of this name");
    console.warn("nothing of this name");
  }
}

// Another pack's own reroute: it inherits its target.
class StandInReroute extends StandInNode {
  constructor(title) {
    super(title);
    this.addInput("", "*");
    this.addOutput("", "*");
  }
}

// It writes into the nodes behind it when the graph is queued, as ComfyUI's own Primitive does.
class StandInWriter extends StandInNode {
  constructor(title) {
    super(title);
    this.addOutput("value", "*");
  }

  applyToGraph() {
    window.acts.push("applied");
  }
}

// Every question to it fails.
class StandInBroken extends StandInNode {
  constructor(title) {
    super(title);
    this.addOutput("value", "*");
  }

  getInputLink() {
    throw new Error("broken");
  }
}

// Its input goes to every open input of its type while the graph is queued; before that the graph's extra lists them.
class StandInBroadcast extends StandInReroute {
  outputs = [];
}

for (const kind of [StandInSet, StandInGet, StandInReroute, StandInWriter, StandInBroken]) {
  kind.title = kind.name;
  LiteGraph.registerNodeType(kind.name, kind);
}

window.receivers = ({ graph, inputs }) => {
  const link = graph.getLink(inputs[0].link);
  const origin = graph.getNodeById(link.origin_id);
  const { type } = origin.outputs[link.origin_slot];
  const open = (input) => input.type === type && input.link == null;
  const places = graph.nodes.filter((node) => node.subgraph || !node.isVirtualNode);
  return places.flatMap((node) => node.inputs.flatMap((input, slot) => (open(input) ? [[link, node, slot]] : [])));
};

// Register the broadcasting node, and add its links while the graph is queued.
window.allowBroadcasts = () => {
  StandInBroadcast.title = "Anything Everywhere";
  LiteGraph.registerNodeType("Anything Everywhere", StandInBroadcast);
};

window.broadcast = (sender) => {
  sender.graph.extra.ue_links = receivers(sender).map(([link, node, slot]) => ({
    upstream: link.origin_id,
    upstream_slot: link.origin_slot,
    downstream: node.id,
    downstream_slot: slot,
    controller: sender.id,
    type: node.inputs[slot].type,
  }));
};

window.queuedWithBroadcasts = async (sender) => {
  const targets = receivers(sender);
  const originOf = (link) => sender.graph.getNodeById(link.origin_id);
  for (const [link, node, slot] of targets) originOf(link).connect(link.origin_slot, node, slot);
  const { output } = await app.graphToPrompt();
  for (const [, node, slot] of targets) node.disconnectInput(slot);
  return output;
};
