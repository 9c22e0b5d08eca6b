"""Which device the ComfyUI server of `demo` and `serve` is to use."""


def device_arguments(given: list[str]) -> tuple[str, ...]:
    """`--cpu` for ComfyUI where torch finds no accelerator, unless it is already there."""
    import torch

    found = torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available()
    return () if found or "--cpu" in given else ("--cpu",)
