"""A graph that the web page has posted, in ComfyUI's prompt format, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...gcfg_core.errors import InputError

MOST_NODES = 4096
MOST_ASKED = 256
LONGEST_NAME = 80

Origin = tuple[str, int]
"""A node and one of its outputs."""


@dataclass(frozen=True)
class PostedNode:
    """One node: its type, the name that people see, its widget values and links by input."""

    kind: str = ""
    name: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def origin(self, name: str) -> Origin | None:
        """Return where this input's link begins; None if it has a value or nothing."""
        value = self.inputs.get(name)
        return (value[0], value[1]) if is_link(value) else None


@dataclass(frozen=True)
class Posted:
    """The posted nodes, and the ids of those to describe."""

    nodes: Mapping[str, PostedNode]
    asked: tuple[str, ...]

    def name(self, node_id: str) -> str:
        """Name a node for people: "Guidance Term (5)"."""
        node = self.nodes.get(node_id, PostedNode())
        return f"{node.name or node.kind or 'node'} ({short(node_id)})"


def is_link(value: object) -> bool:
    """True for [node id, output], the form of a link in a prompt."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def read_posted(body: object) -> Posted:
    """Check ``{"prompt": {id: {"class_type", "inputs", "_meta": {"title"}}}, "nodes": [id, ...]}``.

    Raises:
        InputError: it does not have this form, or it is too large.
    """
    if not isinstance(body, dict):
        raise _error("the request", "an object with prompt and nodes", body)
    prompt, asked = body.get("prompt"), body.get("nodes")
    if not isinstance(prompt, dict):
        raise _error("prompt", "nodes by their ids, as ComfyUI's prompts have them", prompt)
    if not isinstance(asked, list) or not all(isinstance(node_id, str) for node_id in asked):
        raise _error("nodes", "a list of node ids", asked)
    for name, given, most in (("prompt", prompt, MOST_NODES), ("nodes", asked, MOST_ASKED)):
        if len(given) > most:
            raise InputError(name, f"at most {most} nodes", str(len(given)), "Ask about fewer nodes at once.")
    return Posted({node_id: _read_node(node_id, node) for node_id, node in prompt.items()}, tuple(asked))


def _read_node(node_id: str, node: object) -> PostedNode:
    if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
        raise _error(f"node {short(node_id)}", "an object with a class_type", node)
    inputs, meta = node.get("inputs", {}), node.get("_meta", {})
    if not isinstance(inputs, dict):
        raise _error(f"node {short(node_id)}: inputs", "values by name", inputs)
    title = meta.get("title") if isinstance(meta, dict) else None
    return PostedNode(short(node["class_type"]), short(title) if isinstance(title, str) else "", inputs)


def short(text: str) -> str:
    """Shorten a text to one line of bounded length."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def _error(name: str, expected: str, got: object) -> InputError:
    return InputError(name, expected, type(got).__name__, "Post a prompt as app.graphToPrompt() gives it.")
