"""Several devices: ComfyUI's clones of a model on further devices (MultiGPU CFG Split), and the current device."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import comfy.model_management
import comfy.sampler_helpers
import torch

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


P, T = ParamSpec("P"), TypeVar("T")

MULTIGPU = "multigpu"
"""The key under which ComfyUI stores a model's clones on further devices, one module for each."""


def device_clones(patcher: ModelPatcher) -> list[ModelPatcher]:
    return list(patcher.get_additional_models_with_key(MULTIGPU))


def keep_loaded(clone: ModelPatcher, patcher: ModelPatcher) -> None:
    """Make ``patcher`` own the modules on further devices after ``clone``, a clone made by this pack, is deleted.

    ComfyUI clones these clones for every run, with ``clone`` as their parent. A parent owns a module after the patcher
    that it was loaded for is deleted; without a parent the module would stay on its device for good.
    """
    owners = {id(known.model): known for known in device_clones(patcher)}
    if not owners:
        return

    def adopt(_: ModelPatcher, made: ModelPatcher) -> None:
        made.parent = owners.get(id(made.model), made.parent)

    clone.add_callback("on_match_multigpu_clones", adopt)


def drop_shared_clones(patchers: Sequence[ModelPatcher]) -> list[int]:
    """Drop clones on further devices that cannot be used together with the other models of the run.

    A module carries one patcher's weights, so a clone whose module belongs to another model is dropped. So is a clone
    on its patcher's own device, and a clone that streams weights if its patcher does not. The patcher is then evaluated
    on the remaining devices.

    Args:
        patchers: this pack's clones, one for each model of the run.

    Returns:
        Indices of the patchers whose clones were dropped.
    """
    taken = {id(patcher.model) for patcher in patchers}
    changed = []
    for index, patcher in enumerate(patchers):
        clones = device_clones(patcher)
        kept = [clone for clone in clones if id(clone.model) not in taken and _fits(clone, patcher)]
        if len(kept) < len(clones):
            patcher.set_additional_models(MULTIGPU, kept)
            changed.append(index)
        taken |= {id(clone.model) for clone in kept}
    return changed


def _fits(clone: ModelPatcher, patcher: ModelPatcher) -> bool:
    return clone.load_device != patcher.load_device and clone.is_dynamic() == patcher.is_dynamic()


class DeviceSplit:
    """A branch's clones on further devices, over which ComfyUI's scheduler spreads its conditions.

    ``patcher`` is this pack's clone with its hooks registered; ``conds`` and ``model_options`` are the branch's.
    """

    def __init__(self, patcher: ModelPatcher, conds: dict[int, list], model_options: dict[str, Any]) -> None:
        self.patcher, self.model_options = patcher, model_options
        self.clones: list[ModelPatcher] = []
        if device_clones(patcher):
            patcher.match_multigpu_clones()
            comfy.sampler_helpers.preprocess_multigpu_conds(conds, patcher, model_options)
            self.clones = device_clones(patcher)
        self._flag(False)  # ComfyUI mistakes every loaded model with this flag for a clone of the base model

    def _flag(self, value: bool) -> None:
        for clone in self.clones:
            clone.is_multigpu_base_clone = value

    def begin(self) -> None:
        """Set the clones up; call it after loading, when the base model has looked up its own clones."""
        if not self.clones:
            return
        from comfy.multigpu import MultiGPUThreadPool  # without this module ComfyUI makes no clones

        self._flag(True)
        comfy.sampler_helpers.prepare_model_patcher_multigpu_clones(self.patcher, self.clones, self.model_options)
        devices = list(self.model_options["multigpu_clones"])
        self.model_options["multigpu_thread_pool"] = MultiGPUThreadPool(devices)
        for clone in self.clones:
            clone.pre_run()

    def end(self) -> None:
        """Undo ``begin``; safe after an error anywhere, and safe to call twice."""
        pool = self.model_options.pop("multigpu_thread_pool", None)
        if pool is not None:
            pool.shutdown()
        for clone in self.clones:
            clone.cleanup()


def device_context(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Return ComfyUI's context that makes ``device`` current, for custom CUDA kernels; an empty context before it
    had one."""
    context = getattr(comfy.model_management, "cuda_device_context", None)
    return contextlib.nullcontext() if context is None else context(device)


def on_own_device(method: Callable[P, T]) -> Callable[P, T]:
    """Run a method of an object that has a ``patcher`` with that patcher's device current."""

    @functools.wraps(method)
    def on_device(*args: P.args, **kwargs: P.kwargs) -> T:
        with device_context(args[0].patcher.load_device):  # type: ignore[attr-defined]
            return method(*args, **kwargs)

    return on_device
