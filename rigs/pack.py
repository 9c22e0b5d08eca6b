"""The pack as ComfyUI loads it, and its nodes run as ComfyUI's executor runs them."""

import asyncio
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from rigs.host import ROOT


class Pack:
    """The loaded pack.

    ComfyUI gives the pack's package a mangled name, so its modules are other objects than those of an absolute
    `import gcfg_core`. Make all arguments for nodes and guiders from `pack.module(...)`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = str(folder).replace(".", "_x_")

    def module(self, name: str) -> ModuleType:
        """Return the pack's own module: `pack.module("gcfg_core.guidance.graph")`,
        `pack.module("nodes.sampling.guider")`."""
        return importlib.import_module(f"{self.package}.{name}")

    def node(self, node_id: str) -> type:
        """Return the registered node class of this id, ours or ComfyUI's."""
        import nodes

        if node_id not in nodes.NODE_CLASS_MAPPINGS:
            raise KeyError(f"ComfyUI has no node {node_id!r}; {len(nodes.NODE_CLASS_MAPPINGS)} nodes are registered")
        return nodes.NODE_CLASS_MAPPINGS[node_id]

    def run(self, node_id: str, **inputs: Any) -> tuple:
        """Run a node as the executor does and return its outputs as a tuple.

        Missing widgets have their schema's default, as in a freshly placed node.
        """
        return _results(self._call(node_id, inputs))

    def ui(self, node_id: str, **inputs: Any) -> Any:
        """Run a node and return its display in the interface as a dict, or None."""
        value = self._call(node_id, inputs)
        shown = value.get("ui") if isinstance(value, dict) else getattr(value, "ui", None)
        return shown.as_dict() if hasattr(shown, "as_dict") else shown

    def _call(self, node_id: str, inputs: dict[str, Any]) -> Any:
        cls = self.node(node_id)
        declared = cls.INPUT_TYPES()
        known = {name: spec for group in ("required", "optional") for name, spec in declared.get(group, {}).items()}
        unknown = sorted(set(inputs) - set(known))
        if unknown and not _open_ended(cls):
            raise TypeError(f"{node_id} has no input {', '.join(unknown)}; it has {', '.join(known)}")
        given = {**_defaults(known), **inputs}
        with torch.inference_mode():
            value = _entry(cls)(**given)
            return asyncio.run(value) if inspect.isawaitable(value) else value


def load_pack(folder: Path = ROOT) -> Pack:
    """Load core's own extra nodes and the pack through ComfyUI's loader.

    Raises:
        RuntimeError: ComfyUI could not import the pack; the traceback is in the log.
    """
    import nodes

    async def load() -> bool:
        await nodes.init_builtin_extra_nodes()
        return await nodes.load_custom_node(str(folder))

    if not asyncio.run(load()):
        raise RuntimeError(f"ComfyUI could not load the pack in {folder}; its traceback is in the log above")
    return Pack(folder)


def _entry(cls: type) -> Callable[..., Any]:
    """Return the function that the executor calls: that of a fresh V3 class clone, or of a new V1 instance."""
    if hasattr(cls, "PREPARE_CLASS_CLONE"):
        cls.VALIDATE_CLASS()
        return getattr(cls.PREPARE_CLASS_CLONE(None), cls.FUNCTION)
    return getattr(cls(), cls.FUNCTION)


def _open_ended(cls: type) -> bool:
    """True for nodes whose inputs grow (V3 dynamic inputs) or that take hidden ones."""
    function = getattr(cls, "execute", None) or getattr(cls, cls.FUNCTION)
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def _defaults(known: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for name, spec in known.items():
        kind, options = spec[0], spec[1] if len(spec) > 1 else {}
        choices = kind if isinstance(kind, list) else options.get("options")
        if "default" in options:
            values[name] = options["default"]
        elif choices:
            values[name] = choices[0]
    return values


def _results(value: Any) -> tuple:
    if isinstance(value, dict):
        return tuple(value.get("result", ()))
    if hasattr(value, "result"):
        return tuple(value.result or ())
    return tuple(value or ())
