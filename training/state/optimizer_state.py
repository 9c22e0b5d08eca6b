"""Convert an optimizer's state to flat names for a checkpoint and back: tensors, and JSON values.

"exp_avg/unet.conv_in.weight" is a value of one parameter. Nested state (bitsandbytes' 8-bit state) has more parts
before the parameter's name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from gcfg_core.errors import InputError

from ..optimizers import StateLayout

READ = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
WHOLE = StateDictOptions(full_state_dict=True)
OTHER_RUN = "The checkpoint is of another run or was damaged; give another output folder."


def gather_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors on the CPU, and other values, by flat names; under FSDP empty in all processes but the first."""
    gathered: Any = get_optimizer_state_dict(network, optimizer, options=READ)
    values = dict(_flat(gathered.get("state", {})))
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in values.items():
        if isinstance(value, Tensor):
            shared = value.data_ptr() in seen  # bitsandbytes shares one quantization map
            tensors[name] = value.clone().contiguous() if shared else value.contiguous()
            seen.add(value.data_ptr())
    return tensors, {name: value for name, value in values.items() if name not in tensors}


def restore_optimizer(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    values: Mapping[str, Any],
    step: int,
    layout: StateLayout,
    exactly: bool = True,
) -> None:
    """Load a state, the inverse of `gather_optimizer`.

    Args:
        values: tensors and other values by flat names.
        step: optimization steps done; every parameter's step counter must equal it.
        layout: of the state.
        exactly: False if steps may have been skipped (fp16), so that counters may be lower.

    Raises:
        InputError: a parameter's state is missing, unknown, of another shape, or of another step.
    """
    fresh: Any = get_optimizer_state_dict(network, optimizer, options=WHOLE)
    _check(dict(_flat(fresh["state"])), values, step, layout, exactly)
    parameters: dict[str, Tensor] = {}
    for named, group in zip(fresh["param_groups"], optimizer.param_groups, strict=True):
        parameters |= zip(named["params"], group["params"], strict=True)
    state: dict[str, Any] = {}
    for key, value in values.items():
        *path, kind, name = key.split("/")
        place = state.setdefault(name, {})
        for part in path:
            place = place.setdefault(part, {})
        place[kind] = _laid_out(value, parameters[name])
    whole: Any = {"state": state, "param_groups": fresh["param_groups"]}
    set_optimizer_state_dict(network, optimizer, whole, options=WHOLE)


def _flat(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every value under its flat name."""
    for name, kinds in state.items():
        waiting = [((str(kind),), value) for kind, value in kinds.items()]
        while waiting:
            path, value = waiting.pop(0)
            if isinstance(value, Mapping):
                waiting += [((*path, str(kind)), inner) for kind, inner in value.items()]
            else:
                yield "/".join((*path, name)), value


def _check(fresh: Mapping[str, Any], values: Mapping[str, Any], step: int, layout: StateLayout, exactly: bool) -> None:
    odd = sorted(fresh.keys() ^ values.keys())
    if odd:
        got = f"{'no' if odd[0] in fresh else 'an unknown'} {odd[0]}"
        raise InputError("optimizer", "the state of every trained parameter", got, OTHER_RUN)
    for key, value in values.items():
        if isinstance(value, Tensor) and value.shape != fresh[key].shape:
            raise InputError("optimizer", f"{key} of shape {list(fresh[key].shape)}", str(list(value.shape)), OTHER_RUN)
        counts = layout.step is not None and key.startswith(f"{layout.step}/")
        if counts and (int(value) > step or exactly and int(value) != step):
            raise InputError("optimizer", f"a state after {step} steps", f"{key} of {int(value)}", OTHER_RUN)


def _laid_out(value: Any, parameter: Tensor) -> Any:
    """Return a tensor of a parameter's shape in the parameter's memory layout (--channels-last), which fused kernels
    require. Sharded parameters are left to torch."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape or hasattr(parameter, "to_local"):
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
