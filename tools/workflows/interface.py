"""A workflow as the web interface saves it: workflow format 0.4, with frames, notes and positions."""

from __future__ import annotations

import re
import uuid
from functools import cache
from typing import Any

from devtools import runtime
from devtools.environment import ROOT

from .graph import Node, Workflow
from .layout import NODE_TITLE, Frame, arrange
from .node_types import NodeType
from .note import note_text

PACK_ID, CORE_ID = "comfyui-gcfg", "comfy-core"
COLORS = {
    "Models": "#3f789e",
    "Prompts": "#b58b2a",
    "Guidance": "#88AA88",
    "Sampling": "#a1309b",
    "Picture": "#8a8f98",
    "Video": "#8a8f98",
}
SIDE_BAR, TOP_BARS, MARGIN = 60, 120, 10
WIDE, HIGH = 1600 - SIDE_BAR - 2 * MARGIN, 1000 - TOP_BARS - 2 * MARGIN
"""Size in pixels of an ordinary window, in which a graph should fit."""
SMALLEST_SCALE, LARGEST_SCALE = 0.58, 0.7
"""Below the smallest scale ComfyUI draws no text."""
NAMESPACE = uuid.UUID("6f2f3c9e-2312-5081-9500-000000000000")


def interface_graph(workflow: Workflow) -> dict[str, Any]:
    """Return the workflow in interface format."""
    layout = arrange(workflow)
    links, outgoing = _links(workflow)
    nodes = [_note(workflow, layout.note)]
    for order, node in enumerate(workflow.nodes, 1):
        nodes.append(_node(node, layout.nodes[node.identity], order, links, outgoing))
    groups = [
        {
            "id": index,
            "title": title,
            "bounding": list(frame),
            "color": next((color for word, color in COLORS.items() if title.startswith(word)), "#3f789e"),
            "font_size": 24,
            "flags": {},
        }
        for index, (title, frame) in enumerate(layout.groups, 1)
    ]
    return {
        "id": str(uuid.uuid5(NAMESPACE, workflow.name)),
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": _view(nodes)},
        "version": 0.4,
    }


def _view(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return zoom and position that show all nodes, or as many as are readable: ComfyUI draws no picture of a node that
    is not visible."""
    width, height = (max(node["pos"][axis] + node["size"][axis] for node in nodes) for axis in (0, 1))
    scale = round(max(SMALLEST_SCALE, min(LARGEST_SCALE, WIDE / width, HIGH / height)), 2)
    return {"scale": scale, "offset": [round((SIDE_BAR + MARGIN) / scale), round((TOP_BARS + MARGIN) / scale)]}


@cache
def pack_version() -> str:
    """Return the version in pyproject.toml."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version, "pyproject.toml has no line with the version"
    return version[1]


def slots(kind: NodeType) -> list[str]:
    """Return the names of a node's inputs in the interface's order: sockets, then widgets (which are sockets too)."""
    return [each.name for each in kind.sockets] + [each.name for each in kind.widgets]


def _links(workflow: Workflow) -> tuple[list[list], dict[tuple[int, int], list[int]]]:
    """Return the link table, and the links that leave each output (node, slot)."""
    links: list[list] = []
    outgoing: dict[tuple[int, int], list[int]] = {}
    for node in workflow.nodes:
        for slot, name in enumerate(slots(node.kind)):
            if name in node.links:
                source = node.links[name]
                origin = source.node.identity, source.slot
                links.append([len(links) + 1, *origin, node.identity, slot, source.kind])
                outgoing.setdefault(origin, []).append(len(links))
    return links, outgoing


def _node(
    node: Node, frame: Frame, order: int, links: list[list], outgoing: dict[tuple[int, int], list[int]]
) -> dict[str, Any]:
    incoming = {(link[3], link[4]): link[0] for link in links}
    inputs = []
    for slot, name in enumerate(slots(node.kind)):
        each = node.kind.input(name)
        entry: dict[str, Any] = {"name": name, "type": each.kind, "link": incoming.get((node.identity, slot))}
        if each.is_widget:
            entry["widget"] = {"name": name}
        elif not each.is_required:
            entry["shape"] = 7
        inputs.append(entry)
    outputs = [
        {"name": name, "type": kind, "slot_index": slot, "links": outgoing.get((node.identity, slot), [])}
        for slot, (name, kind) in enumerate(node.kind.outputs)
    ]
    core = node.kind.is_core
    properties: dict[str, Any] = {
        "cnr_id": CORE_ID if core else PACK_ID,
        "ver": runtime.VERSION if core else pack_version(),
        "Node name for S&R": node.kind.name,
    }
    public = [{"name": m.name, "url": m.url, "directory": m.folder} for m in node.models if m.url]
    if public:
        properties["models"] = public
    saved = {
        "id": node.identity,
        "type": node.kind.name,
        "pos": [frame.x, frame.y + NODE_TITLE],
        "size": [frame.width, frame.height - NODE_TITLE],
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "title": node.title,
        "properties": properties,
        "widgets_values": _widget_values(node),
    }
    if not node.title:
        del saved["title"]
    return saved


def _widget_values(node: Node) -> list[Any]:
    """Return values in the order of the widgets on the node, with those that only the interface has."""
    values: list[Any] = []
    for each in node.kind.widgets:
        values.append(node.values.get(each.name, each.default))
        if each.has_seed_control:
            values.append("fixed")
    if any(each.has_upload for each in node.kind.widgets):
        values.append("image")
    return values


def _note(workflow: Workflow, frame: Frame) -> dict[str, Any]:
    return {
        "id": len(workflow.nodes) + 1,
        "type": "MarkdownNote",
        "pos": [frame.x, frame.y + NODE_TITLE],
        "size": [frame.width, frame.height - NODE_TITLE],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "Read me",
        "properties": {},
        "widgets_values": [note_text(workflow)],
        "color": "#432",
        "bgcolor": "#653",
    }
