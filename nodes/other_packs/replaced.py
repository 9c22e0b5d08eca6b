"""Other packs' functions in the place of those by which ComfyUI's guider predicts.

AnimateDiff-Evolved replaces ``comfy.samplers.sampling_function`` while its model samples, smZNodes when it is imported,
AutomaticCFG when its node runs, LanPaint ``CFGGuider.predict_noise`` while its sampler runs. CFGGuider uses them
because it looks these names up at every call.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import comfy.samplers


def replaced_functions() -> dict[str, Callable]:
    """Return name -> function for those that predict under CFGGuider and are not ComfyUI's own now."""
    now: dict[str, Callable] = {
        "sampling_function": comfy.samplers.sampling_function,
        "cfg_function": comfy.samplers.cfg_function,
        "CFGGuider.predict_noise": comfy.samplers.CFGGuider.predict_noise,
    }
    return {name: function for name, function in now.items() if not _is_core(function)}


def _is_core(function: Callable) -> bool:
    """True if the function was written in ComfyUI; functools.wraps copies a name and a module, but not the globals."""
    return getattr(function, "__globals__", None) is vars(comfy.samplers)


def module_of(function: Any) -> str:
    """Return the module in which a function was written; for a custom node, starting at its folder's name."""
    while isinstance(function, functools.partial):
        function = function.func
    namespace = getattr(function, "__globals__", None)
    name = namespace["__name__"] if namespace is not None else type(function).__module__
    return re.split(r"custom_nodes[\\/.]", name)[-1]


def modules_of(functions: Mapping[str, Callable]) -> str:
    return ", ".join(sorted({module_of(function) for function in functions.values()}))


def log_replaced(others: Sequence[str], weighted: Sequence[str]) -> None:
    """Log which pack predicts the primary pair, if the graph has other terms too.

    Args:
        others: names of the terms that are added to the function's result.
        weighted: those of them whose conditions carry weights of their own.
    """
    functions = replaced_functions()
    if not functions or not others:
        return
    logging.warning(
        "GCFG: %s stands in the place of ComfyUI's %s. It is given the primary pair, as under CFGGuider; added to its "
        "result, without it: %s.%s",
        modules_of(functions), ", ".join(functions), ", ".join(others),
        f" The weights that conditions carry have no effect in {', '.join(weighted)}." if weighted else "",
    )  # fmt: skip


@contextlib.contextmanager
def in_place(function: Callable) -> Iterator[None]:
    """Make ``function`` ComfyUI's sampling function while the block runs."""
    previous = comfy.samplers.sampling_function
    comfy.samplers.sampling_function = function
    try:
        yield
    finally:
        comfy.samplers.sampling_function = previous
