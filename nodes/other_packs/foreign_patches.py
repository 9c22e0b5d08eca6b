"""Patches inside a forward that are not ComfyUI's own, and so may rely on a batch of one (cond, uncond) pair.

ComfyUI never asks a model for more than that pair. Its own patches treat each part of a batch separately, however many
there are. Other packs' patches may not: some halve the batch, some mix its halves, some keep one half's features.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy
import torch
from comfy.patcher_extension import WrappersMP

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_HOST = Path(comfy.__path__[0]).resolve().parent
_PACK = Path(__file__).resolve().parents[2]
_TORCH = Path(torch.__path__[0]).resolve()
_KNOWN = tuple(
    f"{folder}{os.sep}"
    for folder in (_HOST / "comfy", _HOST / "comfy_extras", _PACK / "nodes", _PACK / "gcfg_core", _TORCH)
)
_PAIRED = tuple(
    str(_HOST / Path(*file)) for file in (("comfy_extras", "nodes_nag.py"), ("comfy", "ldm", "seedvr", "model.py"))
)
"""ComfyUI's own patches that do rely on a pair: they read the first prediction of each role, or halve the batch."""

_WRAPPERS = (WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL)
"""The wrappers that a batch passes through; others surround a whole call or run."""

_ATTENTION_KERNEL = "optimized_attention_override"
"""Replaces ComfyUI's attention function, which does not know the owner of a row in the batch."""

_OBJECTS = ("diffusion_model", "apply_model", "_apply_model")


def counts_on_a_pair(
    patcher: ModelPatcher, model_options: Mapping[str, Any], conds: list[list[dict]], layers: Sequence[Any]
) -> bool:
    """True if anything that a batch passes through may handle no more than a (cond, uncond) pair.

    Args:
        model_options: those of the call, which also hold the patches of the sampling run.
        conds: the conditions to evaluate; their hooks may bring patches.
        layers: the network's ``replaced_layers``.
    """
    functions = itertools.chain(layers, _in_a_forward(patcher, model_options, conds))
    return any(not _takes_any_batch(function) for function in functions)


def replaced_layers(patcher: ModelPatcher) -> list[Any]:
    """Return the replacements of layers' forwards: Easy-Use's style align sets them on all models of a network."""
    layers = patcher.model.diffusion_model.modules()
    return [vars(layer)["forward"] for layer in layers if "forward" in vars(layer)]


def around_a_forward(patcher: ModelPatcher) -> list[Any]:
    """Return other packs' functions around the forwards of a model, which may skip a forward and return a stored
    result."""
    options = patcher.model_options.get("transformer_options", {}).get("wrappers", {})
    functions = [
        *_functions(patcher.model_options.get("model_function_wrapper")),
        *_functions([source.get(kind) for source in (patcher.wrappers, options) for kind in _WRAPPERS]),
        *_functions([patch for name, patch in patcher.object_patches.items() if name.split(".")[0] in _OBJECTS]),
    ]
    return [function for function in functions if not _takes_any_batch(function)]


def _in_a_forward(patcher: ModelPatcher, model_options: Mapping[str, Any], conds: list[list[dict]]) -> Iterator[Any]:
    """Yield every function, and the network, that a batch passes through."""
    yield type(patcher.model)
    network = patcher.model.diffusion_model
    yield type(getattr(network, "_orig_mod", network))
    yield from _functions(model_options.get("model_function_wrapper"))
    yield from _patches(model_options.get("transformer_options", {}))
    for name, patch in patcher.object_patches.items():
        if name.split(".")[0] in _OBJECTS:
            yield from _functions(patch)
    for injection in (each for injections in patcher.injections.values() for each in injections):
        yield injection.inject
    groups = [part["hooks"] for cond in conds for part in cond if part.get("hooks") is not None]
    for hook in (hook for group in groups for hook in group.hooks):
        yield from _patches(getattr(hook, "transformers_dict", None) or {})


def _patches(transformer_options: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in transformer_options.items():
        if name == "wrappers":
            yield from _functions([value.get(kind) for kind in _WRAPPERS])
        elif name not in ("callbacks", _ATTENTION_KERNEL):
            yield from _functions(value)


def _functions(value: Any) -> Iterator[Any]:
    """Yield the callables in nested dicts, lists and tuples."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _functions(inner)
    elif callable(value) and not isinstance(value, type):
        yield value


def _takes_any_batch(function: Any) -> bool:
    file = _resolved(source_file(function))
    return file.startswith(_KNOWN) and file not in _PAIRED


@functools.cache
def _resolved(file: str) -> str:
    return os.path.realpath(file)


def source_file(function: Any) -> str:
    """Return the file that defines a function, a class, or an object's __call__; "" if there is none."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type):
        return getattr(sys.modules.get(function.__module__), "__file__", None) or ""
    function = getattr(inspect.unwrap(function), "__func__", function)
    if not hasattr(function, "__code__"):
        return source_file(type(function))
    return function.__code__.co_filename
