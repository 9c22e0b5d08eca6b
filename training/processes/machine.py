"""The machine a run is on: accelerate, set up as the settings say."""

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
PATIENCE = timedelta(hours=12)  # what the first process does alone, such as looking at the pictures, may take hours
KNOWN = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
ALLOWED = "one process, several on CPUs or GPUs, or FSDP 2"
FOREIGN = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM"}


@contextmanager
def machine(config: LoopConfig) -> Iterator[Accelerator]:
    """`open_machine`, for a block of code, and closed after it.

    Left to the interpreter's end, a thread of gloo's that still frees a tensor would abort the process.
    """
    accelerator = open_machine(config)
    try:
        yield accelerator
    finally:
        close_machine(accelerator)


def open_machine(config: LoopConfig) -> Accelerator:
    """accelerate's view of device, precision and processes; torchrun and `accelerate launch` tell it the rest.

    Raises:
        InputError: fp16 on a CPU, or a way of sharing the work that is not supported.
    """
    on_cpu = config.device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    if config.precision == "fp16" and on_cpu:
        raise InputError("precision fp16", "a GPU", "a CPU", "Take --precision bf16 or fp32.")
    for name, program in FOREIGN.items():  # before accelerate asks for their packages
        if os.environ.get(name, "false").lower() == "true":
            raise _not_supported(program)
    accelerator = Accelerator(
        mixed_precision=MIXED[config.precision],
        cpu=config.device == "cpu",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # whatever a launcher's file says
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    check_distribution(accelerator)
    if accelerator.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    return accelerator


def close_machine(accelerator: Accelerator) -> None:
    """Let go of the network and of the other processes."""
    accelerator.free_memory()
    accelerator.end_training()


def check_distribution(accelerator: Accelerator) -> None:
    """Raise InputError where processes share the work in a way that this trainer was not made for."""
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
    """Samples of a step over all processes and forward passes."""
    return config.batch_size * config.accumulation * accelerator.num_processes
