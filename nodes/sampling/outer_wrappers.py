"""The outer_sample wrappers of a term's model around the sampling run of the base model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import comfy.samplers
import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers

from ..other_packs.replaced import in_place

if TYPE_CHECKING:
    from .branch import Branch

Sample = Callable[..., torch.Tensor]

RUN_ARGUMENTS = ("the noise", "the latent", "the sampler", "the sigmas")
"""The first arguments of CFGGuider.outer_sample."""


def inside_outer_wrappers(branch: Branch, sample: Sample, resting: Sample) -> Sample:
    """Wrap ``sample`` in the wrappers of a branch's model, in which EasyCache prepares its state.

    The wrappers find the branch instead of the guider, with its ``model_patcher`` and ``model_options``, and
    ``resting`` instead of ComfyUI's sampling function. A function that they put there serves this model alone.
    """
    asked: list[Any] = []

    def innermost(*args: Any, **kwargs: Any) -> torch.Tensor:
        standing = comfy.samplers.sampling_function
        branch.function = None if standing is resting else standing
        pairs = zip(RUN_ARGUMENTS, asked, args, strict=False)
        branch.not_applied = [name for name, was, now in pairs if not _is_same(was, now)]
        return sample(*args, **kwargs)

    wrappers = get_all_wrappers(WrappersMP.OUTER_SAMPLE, branch.model_options, is_model_options=True)
    executor = WrapperExecutor.new_class_executor(innermost, branch, wrappers)

    def wrapped(*args: Any, **kwargs: Any) -> torch.Tensor:
        asked[:] = args
        with in_place(resting):
            return executor.execute(*args, **kwargs)

    return wrapped


def with_callback(
    sample: Callable, args: Sequence[Any], kwargs: dict[str, Any], passed: Sequence[Any], named: dict[str, Any]
) -> inspect.BoundArguments:
    """Return the arguments of a sampling with the callback that its wrappers passed on, which gives them the step."""
    signature = inspect.signature(sample)
    given = signature.bind(*args, **kwargs)
    if "callback" in signature.parameters:
        given.arguments["callback"] = signature.bind(*passed, **named).arguments.get("callback")
    return given


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first is second or (first.shape == second.shape and torch.equal(first.cpu(), second.cpu()))
    return first is second
