"""The device that a command runs on; a training run takes accelerate's (`training.run.machine`)."""

import torch

from gcfg_core.input_error import InputError

DEVICE_HELP = "auto: a CUDA GPU where there is one, else the CPU; or as torch names one: cpu, cuda, cuda:1, mps"


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
