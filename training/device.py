"""The device that a command runs on, the number formats of weights, and float32 without rounding.

A training run takes accelerate's device (`training.processes.machine`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gcfg_core.errors import InputError

DEVICE_HELP = "auto: a CUDA GPU where there is one, else the CPU; or as torch names one: cpu, cuda, cuda:1, mps"

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Number formats of weights, by the names of the settings."""


def chosen_device(name: str) -> torch.device:
    """The device of this name; a CUDA GPU, or else the CPU, for "auto".

    Raises:
        InputError: there is none of this name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError("device", "a device of this machine", repr(name), "Use auto or cpu.") from None


@contextmanager
def full_float32() -> Iterator[None]:
    """Use no TensorFloat32 (10 bits) in matrix products and convolutions while the block runs.

    For what is measured or encoded once and kept for all later runs, whatever the training itself does.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
