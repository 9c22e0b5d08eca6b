"""The device of a command, the number formats of weights, and float32 arithmetic without TensorFloat32.

A training run uses accelerate's device instead (`training.processes.machine`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gcfg_core.errors import InputError

DEVICE_HELP = "auto: a CUDA GPU if there is one, else the CPU; or torch's name of a device: cpu, cuda, cuda:1, mps"

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Number formats of weights, by the names of the settings."""


def chosen_device(name: str) -> torch.device:
    """Return the device of this name; "auto" is a CUDA GPU if there is one, else the CPU.

    Raises:
        InputError: this machine has no device of this name.
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
    """Turn off TensorFloat32 (10-bit mantissa) in matrix products and convolutions while the block runs.

    Used for values that are computed once and stored for later runs: latents, null-text constants.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
