"""The machine of a run: accelerate, configured by the settings."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, GradientAccumulationPlugin, InitProcessGroupKwargs

from gcfg_core.errors import InputError

from ..settings.config import LoopConfig

MIXED = {"fp32": "no", "fp16": "fp16", "bf16": "bf16"}
PATIENCE = timedelta(hours=12)  # the first process alone scans the pictures, which may take hours
KNOWN = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
ALLOWED = "one process, several on CPUs or GPUs, or FSDP 2"
FOREIGN = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM"}


@contextmanager
def machine(config: LoopConfig) -> Iterator[Accelerator]:
    """Open the machine for a block of code, and close it afterwards.

    Without closing, a gloo thread that still frees a tensor at interpreter exit would abort the process.
    """
    accelerator = open_machine(config)
    try:
        yield accelerator
    finally:
        close_machine(accelerator)


def open_machine(config: LoopConfig) -> Accelerator:
    """Return an Accelerator for the configured device and precision; torchrun or `accelerate launch` set the processes.

    Raises:
        InputError: fp16 on a CPU, or an unsupported kind of distributed training.
    """
    on_cpu = config.device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    if config.precision == "fp16" and on_cpu:
        raise InputError("precision fp16", "a GPU", "a CPU", "Take --precision bf16 or fp32.")
    for name, program in FOREIGN.items():  # checked before accelerate imports their packages
        if os.environ.get(name, "false").lower() == "true":
            raise _not_supported(program)
    accelerator = Accelerator(
        mixed_precision=MIXED[config.precision],
        cpu=config.device == "cpu",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # overrides a launcher's config file
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    check_distribution(accelerator)
    if accelerator.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    return accelerator


def close_machine(accelerator: Accelerator) -> None:
    """Release the network and leave the process group."""
    accelerator.free_memory()
    accelerator.end_training()


def check_distribution(accelerator: Accelerator) -> None:
    """Raise InputError if the kind of distributed training is not supported."""
    kind = accelerator.distributed_type
    if kind == DistributedType.FSDP:
        version = getattr(accelerator.state.fsdp_plugin, "fsdp_version", 1)
        if version != 2:
            raise InputError("FSDP", "version 2", str(version), "Give `accelerate launch` --fsdp_version 2.")
    elif kind not in KNOWN:
        raise _not_supported(str(kind.value))


def _not_supported(program: str) -> InputError:
    return InputError("several processes", ALLOWED, program, "Start it with torchrun or another accelerate config.")


def global_batch(config: LoopConfig, accelerator: Accelerator) -> int:
    """Return the samples per step, over all processes and forward passes."""
    return config.batch_size * config.accumulation * accelerator.num_processes
