"""Choose the device for the ComfyUI server of `demo` and `serve`."""


def device_arguments(given: list[str]) -> tuple[str, ...]:
    """Return `--cpu` for ComfyUI if torch finds no accelerator and the argument is not given already."""
    import torch

    has_accelerator = torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available()
    return () if has_accelerator or "--cpu" in given else ("--cpu",)
