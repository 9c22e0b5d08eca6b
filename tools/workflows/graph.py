"""A workflow as Python defines it: nodes in groups, groups in columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .cast import STABLE_DIFFUSION, Cast
from .models import ModelFile
from .node_types import NodeType, node_type


@dataclass(eq=False)
class Node:
    """A node of a workflow. `node["CLIP"]` is one of its outputs; the node itself stands for its first one."""

    identity: int
    kind: NodeType
    values: dict[str, Any]
    """Widget values."""
    links: dict[str, Output]
    """Connected inputs."""
    title: str = ""
    models: tuple[ModelFile, ...] = ()
    room: int = 0
    """Smallest height on the canvas, in pixels."""

    def __getitem__(self, output: str) -> Output:
        return Output(self, self.kind.slot(output))


@dataclass(frozen=True)
class Output:
    """An output of a node."""

    node: Node
    slot: int

    @property
    def kind(self) -> str:
        return self.node.kind.outputs[self.slot][1]


@dataclass
class Group:
    """Nodes in one frame, one above the other."""

    title: str
    nodes: list[Node] = field(default_factory=list)


@dataclass
class Workflow:
    """One workflow. Name and title are its file's and its note's.

    Attributes:
        formula: the guidance graph in mathematical notation, for the note.
        cost: evaluations per step, in words.
        experiments: things to change, one sentence each.
        cast: the models that it uses; the starter's put their prefix before the name.
    """

    name: str
    title: str
    about: str
    formula: str
    cost: str
    experiments: tuple[str, ...]
    cast: Cast = STABLE_DIFFUSION
    columns: list[list[Group]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.cast.prefix + self.name
        if self.cast.is_starter:
            self.title = f"{self.title} (starter models)"

    @property
    def nodes(self) -> list[Node]:
        return [node for column in self.columns for group in column for node in group.nodes]

    @property
    def models(self) -> list[ModelFile]:
        """Every model file that a node loads, once, in the order of the nodes."""
        return list(dict.fromkeys(model for node in self.nodes for model in node.models))

    @contextmanager
    def column(self, title: str) -> Iterator[None]:
        """Put the nodes added within into a new group in a new column."""
        self.columns.append([Group(title)])
        yield

    @contextmanager
    def below(self, title: str) -> Iterator[None]:
        """Put the nodes added within into a new group below the last group."""
        self.columns[-1].append(Group(title))
        yield

    def add(
        self, type_name: str, title: str = "", models: tuple[ModelFile, ...] = (), room: int = 0,
        **inputs: Any,
    ) -> Node:  # fmt: skip
        """Add a node to the newest group. Missing widgets have their default.

        Raises:
            KeyError: the node type or an input does not exist.
            TypeError: an output is connected to an input of another type.
            ValueError: a required socket is left open.
        """
        kind = node_type(type_name)
        values = {each.name: each.default for each in kind.widgets}
        links: dict[str, Output] = {}
        for name, value in inputs.items():
            target = kind.input(name)
            if isinstance(value, Node):
                value = Output(value, 0)
            if not isinstance(value, Output):
                values[name] = value
                continue
            if value.kind != target.kind:
                raise TypeError(f"{type_name}.{name} takes {target.kind}, got {value.kind}")
            links[name] = value
            values.pop(name, None)
        missing = [each.name for each in kind.sockets if each.is_required and each.name not in links]
        if missing:
            raise ValueError(f"{type_name}: nothing is connected to {', '.join(missing)}")
        node = Node(len(self.nodes) + 1, kind, values, links, title, models, room)
        self.columns[-1][-1].nodes.append(node)
        return node


def api_prompt(workflow: Workflow) -> dict[str, dict]:
    """Return the workflow in API format, as ComfyUI's /prompt accepts it."""
    prompt = {}
    for node in workflow.nodes:
        inputs: dict[str, Any] = {}
        for each in node.kind.inputs:
            if each.name in node.links:
                source = node.links[each.name]
                inputs[each.name] = [str(source.node.identity), source.slot]
            elif each.name in node.values:
                inputs[each.name] = node.values[each.name]
        title = node.title or node.kind.title
        prompt[str(node.identity)] = {"inputs": inputs, "class_type": node.kind.name, "_meta": {"title": title}}
    return prompt
