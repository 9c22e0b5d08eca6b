"""The machine a run is on: accelerate, set up as the settings say."""

import torch
from accelerate import Accelerator

from gcfg_core.input_error import InputError

from .config import LoopConfig

MIXED = {"fp32": "no", "fp16": "fp16", "bf16": "bf16"}


def open_machine(config: LoopConfig) -> Accelerator:
    """accelerate's view of device, precision and processes; torchrun and `accelerate launch` tell it the rest.

    Raises:
        InputError: fp16 on a CPU.
    """
    on_cpu = config.device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    if config.precision == "fp16" and on_cpu:
        raise InputError("precision fp16", "a GPU", "a CPU", "Take --precision bf16 or fp32.")
    accelerator = Accelerator(mixed_precision=MIXED[config.precision], cpu=config.device == "cpu")
    if accelerator.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    return accelerator


def global_batch(config: LoopConfig, accelerator: Accelerator) -> int:
    """Samples of a step over all processes and forward passes."""
    return config.batch_size * config.accumulation * accelerator.num_processes
