"""Inputs and outputs of a node type, as the installed ComfyUI declares them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
UPLOADS = ("image_upload", "video_upload", "animated_image_upload")


@dataclass(frozen=True)
class Input:
    """One input of a node type."""

    name: str
    kind: str
    options: dict[str, Any]
    is_required: bool

    @property
    def is_widget(self) -> bool:
        return self.kind in WIDGETS and not self.options.get("forceInput")

    @property
    def has_seed_control(self) -> bool:
        """The interface puts a second widget beside a seed: fixed, increment, decrement, randomize."""
        return bool(self.options.get("control_after_generate"))

    @property
    def has_upload(self) -> bool:
        """The interface puts an upload button beside a choice of image files."""
        return any(self.options.get(name) for name in UPLOADS)

    @property
    def is_multiline(self) -> bool:
        return bool(self.options.get("multiline"))

    @property
    def default(self) -> Any:
        if "default" in self.options:
            return self.options["default"]
        choices = self.options.get("options") or [None]
        return {"STRING": "", "BOOLEAN": False, "INT": 0, "FLOAT": 0.0}.get(self.kind, choices[0])


@dataclass(frozen=True)
class NodeType:
    """One node type: required inputs first, as the interface orders them; outputs as (name, type)."""

    name: str
    title: str
    module: str
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]

    @property
    def sockets(self) -> list[Input]:
        return [each for each in self.inputs if not each.is_widget]

    @property
    def widgets(self) -> list[Input]:
        return [each for each in self.inputs if each.is_widget]

    @property
    def is_core(self) -> bool:
        return not self.module.startswith("custom_nodes.")

    def input(self, name: str) -> Input:
        """The input of this name.

        Raises:
            KeyError: there is none.
        """
        for each in self.inputs:
            if each.name == name:
                return each
        raise KeyError(f"{self.name} has no input {name!r}; it has {', '.join(each.name for each in self.inputs)}")

    def slot(self, name: str) -> int:
        """Index of the output of this name, in any case."""
        names = [output.lower() for output, _ in self.outputs]
        if name.lower() not in names:
            raise KeyError(f"{self.name} has no output {name!r}; it has {', '.join(names)}")
        return names.index(name.lower())


@cache
def node_type(name: str) -> NodeType:
    """The node type of this name. ComfyUI's nodes and the pack must be loaded (`rigs.pack.load_pack`).

    Raises:
        KeyError: there is no node of this type.
    """
    import nodes

    if name not in nodes.NODE_CLASS_MAPPINGS:
        raise KeyError(f"ComfyUI has no node {name!r} here")
    cls = nodes.NODE_CLASS_MAPPINGS[name]
    declared = cls.INPUT_TYPES()
    inputs = tuple(
        _input(key, spec, group == "required")
        for group in ("required", "optional")
        for key, spec in declared.get(group, {}).items()
    )
    types = tuple("COMBO" if isinstance(kind, list) else str(kind) for kind in cls.RETURN_TYPES)
    names = tuple(getattr(cls, "RETURN_NAMES", None) or types)
    title = nodes.NODE_DISPLAY_NAME_MAPPINGS.get(name) or name
    module = getattr(cls, "RELATIVE_PYTHON_MODULE", "nodes")
    return NodeType(name, title, module, inputs, tuple(zip(names, types, strict=True)))


def _input(name: str, spec: Any, is_required: bool) -> Input:
    kind = spec[0]
    options = dict(spec[1]) if len(spec) > 1 and spec[1] else {}
    if isinstance(kind, (list, tuple)):
        options.setdefault("options", list(kind))
        kind = "COMBO"
    return Input(name, str(kind), options, is_required)
