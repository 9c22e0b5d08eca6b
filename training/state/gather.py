"""Convert a run's state to plain tensors and back. All processes take part because weights may be sharded (FSDP).

Names are those of the bare network, whatever wraps it (DDP, FSDP, torch.compile), so a run can continue with another
number of processes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)

from gcfg_core.errors import InputError

from ..optimizers import StateLayout
from .checkpoint import Checkpoint
from .ema import Averages, shard_again
from .optimizer_state import gather_optimizer, restore_optimizer

READ = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
WRITE = StateDictOptions(full_state_dict=True, strict=False)
SCALER, OPTIMIZER = "scaler", "optimizer"


def gather(
    accelerator: Accelerator, network: nn.Module, optimizer: Any, averages: Averages, step: int, **state: Any
) -> Checkpoint:
    """Collect the whole state of a run on the CPU; under FSDP only the first process gets the tensors.

    Args:
        network, optimizer: as accelerate prepared them.
        averages: of the network's weights.
        step: optimization steps done.
        state: further JSON values to store.
    """
    tensors = {"weights": trained_weights(network)}
    for name in averages.names:
        with averages.applied(name):
            tensors[name] = trained_weights(network)
    tensors["optimizer"], state[OPTIMIZER] = gather_optimizer(network, _bare(optimizer))
    if accelerator.scaler is not None:
        state[SCALER] = accelerator.scaler.state_dict()
    return Checkpoint(step, tensors, state)


def restore(
    accelerator: Accelerator,
    network: nn.Module,
    optimizer: Any,
    averages: Averages,
    checkpoint: Checkpoint,
    layout: StateLayout,
) -> None:
    """Load a checkpoint, the inverse of `gather`. ``layout`` is that of the optimizer's state.

    Raises:
        InputError: the checkpoint does not fit this network, optimizer or averages.
    """
    kept = {**checkpoint.tensors["optimizer"], **checkpoint.state.get(OPTIMIZER, {})}
    restore_optimizer(network, _bare(optimizer), kept, checkpoint.step, layout, exactly=accelerator.scaler is None)
    for name in averages.names:
        _put_weights(network, checkpoint.tensors.get(name, {}), name)
        averages.take(name)
    _put_weights(network, checkpoint.tensors["weights"], "weights")
    if accelerator.scaler is not None and SCALER in checkpoint.state:
        accelerator.scaler.load_state_dict(checkpoint.state[SCALER])


def trained_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of the trained weights, unsharded, on the CPU, by their names in the bare network."""
    shard_again(network)
    return {
        name: value.clone().contiguous()
        for name, value in get_model_state_dict(network, options=READ).items()
        if isinstance(value, Tensor)
    }


def _put_weights(network: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    left = set_model_state_dict(network, dict(weights), options=WRITE)
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    # Checkpoints have no frozen weights. Wrappers add prefixes and infixes to parameter names.
    missing = [name for name in left.missing_keys if any(name in full for full in trained)]
    if left.unexpected_keys or missing:
        odd = [*left.unexpected_keys, *missing][0]
        raise InputError(what, "the weights of this run's network", f"a difference at {odd}",
                         "The checkpoint is of another run; give another output folder.")  # fmt: skip


def _bare(optimizer: Any) -> torch.optim.Optimizer:
    return getattr(optimizer, "optimizer", optimizer)
