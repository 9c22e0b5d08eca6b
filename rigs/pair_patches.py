"""Stand-ins for patches that expect a batch of one (cond, uncond) pair, at every place that a batch passes through."""

from collections.abc import Callable
from typing import Any

import comfy.hooks
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor


def halved(h: Tensor) -> Tensor:
    """Mix the second half of the batch with the first; a single row counts as the second half."""
    first, second = h.chunk(2) if len(h) > 1 else (h, h)
    return torch.cat([1.1 * first, 0.7 * second + 0.2 * first]) if len(h) > 1 else 0.7 * second


def ordered(h: Tensor, options: dict[str, Any]) -> Tensor:
    """Scale every row of role 0; rows must be in ComfyUI's order, first all of role 1, then all of role 0."""
    roles = options["cond_or_uncond"]
    if 0 not in roles:
        return h
    parts = h.chunk(len(roles))
    start = roles.index(0)
    return torch.cat([*parts[:start], *(0.5 * part for part in parts[start:])])


def _attn1_patch(model: Any) -> None:
    model.set_model_attn1_patch(lambda q, k, v, extra: (halved(q), k, halved(v)))


def _attn2_patch(model: Any) -> None:
    model.set_model_attn2_patch(lambda q, k, v, extra: (halved(q), k, v))


def _attn1_output_patch(model: Any) -> None:
    model.set_model_attn1_output_patch(lambda out, extra: halved(out))


def _attn2_output_patch(model: Any) -> None:
    model.set_model_attn2_output_patch(lambda out, extra: halved(out))


def _attn1_replace(model: Any) -> None:
    model.set_model_attn1_replace(lambda q, k, v, extra: halved(v), "input", 1)


def _input_block_patch(model: Any) -> None:
    model.set_model_input_block_patch(lambda h, options: halved(h))


def _output_block_patch(model: Any) -> None:
    model.set_model_output_block_patch(lambda h, skip, options: (halved(h), skip))


def _layer(model: Any) -> None:
    """Patch the network itself, which no clone records."""
    layer = next(one for one in model.model.diffusion_model.modules() if isinstance(one, torch.nn.GroupNorm))
    forward = layer.forward
    layer.forward = lambda h: halved(forward(h))


def _function_wrapper(model: Any) -> None:
    def wrapper(apply_model: Callable, arguments: dict[str, Any]) -> Tensor:
        return halved(apply_model(arguments["input"], arguments["timestep"], **arguments["c"]))

    model.set_model_unet_function_wrapper(wrapper)


def _wrapper(kind: str) -> Callable[[Any], None]:
    def patch(model: Any) -> None:
        model.add_wrapper_with_key(kind, "pair", lambda executor, *args, **kwargs: halved(executor(*args, **kwargs)))

    return patch


def _batch_wrapper(model: Any) -> None:
    def wrapper(executor: Callable, model: Any, conds: list, *args: Any) -> list[Tensor]:
        assert len(conds) <= 2, "more than a pair"
        return [0.5 * output for output in executor(model, conds, *args)]

    model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "pair", wrapper)


def _object_patch(model: Any) -> None:
    block = model.get_model_object("diffusion_model.middle_block.1")

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        return halved(type(block).forward(block, *args, **kwargs))

    model.add_object_patch("diffusion_model.middle_block.1.forward", forward)


def _ordered(model: Any) -> None:
    model.set_model_attn2_replace(lambda q, k, v, extra: ordered(q, extra), "middle", 0)


PAIR_PATCHES: dict[str, Callable[[Any], None]] = {
    "attn1 patch": _attn1_patch,
    "attn2 patch": _attn2_patch,
    "attn1 output patch": _attn1_output_patch,
    "attn2 output patch": _attn2_output_patch,
    "attn1 replace": _attn1_replace,
    "input block patch": _input_block_patch,
    "output block patch": _output_block_patch,
    "layer": _layer,
    "function wrapper": _function_wrapper,
    "apply_model wrapper": _wrapper(WrappersMP.APPLY_MODEL),
    "diffusion_model wrapper": _wrapper(WrappersMP.DIFFUSION_MODEL),
    "calc_cond_batch wrapper": _batch_wrapper,
    "object patch": _object_patch,
    "ordered rows": _ordered,
}


def pair_patched(model: Any, name: str) -> Any:
    """Clone a model with a patched middle block."""
    clone = model.clone()
    PAIR_PATCHES[name](clone)
    return clone


def hooked(cond: list) -> list:
    """Return a CONDITIONING whose hook adds the patch."""
    patches = {"patches": {"attn2_output_patch": [lambda out, extra: halved(out)]}}
    hook = comfy.hooks.TransformerOptionsHook(patches, hook_scope=comfy.hooks.EnumHookScope.HookedOnly)
    group = comfy.hooks.HookGroup()
    group.add(hook)
    return comfy.hooks.set_hooks_for_conditioning(cond, group)
