"""The arithmetic of guidance graphs (GCFG, arXiv 2312.08195), without ComfyUI: torch and safetensors alone.

A graph mixes predictions of plain callables (x, sigma, condition) -> denoised:

    >>> import torch
    >>> from gcfg_core import GuidanceGraph, GuidanceTerm, GuidedDenoiser, Side
    >>> def base(x, sigma, shift): return (x + shift) / (1 + sigma**2)
    >>> def concept(x, sigma, shift): return x / (1 + sigma**2) - 1
    >>> terms = (GuidanceTerm(Side(concept), weight=1.5), GuidanceTerm(Side(condition=2.0), weight=3.0))
    >>> denoise = GuidedDenoiser(GuidanceGraph(Side(base, 0.0), terms))
    >>> denoise(torch.zeros(1, 4, 1, 1), sigma=1.0).flatten()  # 0 + 1.5 * (-1 - 0) + 3 * (1 - 0)
    tensor([1.5000, 1.5000, 1.5000, 1.5000])
    >>> denoise.counts  # base(0), base(2), concept(0)
    [3]

With diffusers: `unet` is a UNet2DConditionModel that predicts noise, `scheduler` an EulerDiscreteScheduler with its
timesteps set, and a graph's conditions are text embeddings.

    >>> def denoiser(unet, scheduler):
    ...     def denoised(x, sigma, embeddings):
    ...         t = scheduler.timesteps[(scheduler.sigmas[:-1] - sigma).abs().argmin()]
    ...         return x - sigma * unet(x / (sigma**2 + 1) ** 0.5, t, embeddings).sample
    ...     return denoised
    >>> def sample(graph, scheduler, x):
    ...     guided = GuidedDenoiser(graph)
    ...     for sigma, t in zip(scheduler.sigmas.tolist(), scheduler.timesteps):
    ...         x = scheduler.step((x - guided(x, sigma)) / sigma, t, x).prev_sample
    ...     return x
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .guidance.cost import Cost, cost
    from .guidance.curves import Constant, Cosine, Keyframes, Linear, Ramp
    from .guidance.denoiser import GuidedDenoiser
    from .guidance.formula import formula
    from .guidance.graph import GuidanceGraph, GuidanceTerm, Side
    from .guidance.modifiers import NormCap, Project, Refresh
    from .guidance.plan import Plan, compile_plan
    from .guidance.sampling_progress import SamplingProgress, Window

__version__ = "0.1.0"

__all__ = [
    "Constant",
    "Cosine",
    "Cost",
    "GuidanceGraph",
    "GuidanceTerm",
    "GuidedDenoiser",
    "Keyframes",
    "Linear",
    "NormCap",
    "Plan",
    "Project",
    "Ramp",
    "Refresh",
    "SamplingProgress",
    "Side",
    "Window",
    "compile_plan",
    "cost",
    "formula",
]

_MODULES = {
    "cost": ("Cost", "cost"),
    "curves": ("Constant", "Cosine", "Keyframes", "Linear", "Ramp"),
    "denoiser": ("GuidedDenoiser",),
    "formula": ("formula",),
    "graph": ("GuidanceGraph", "GuidanceTerm", "Side"),
    "modifiers": ("NormCap", "Project", "Refresh"),
    "plan": ("Plan", "compile_plan"),
    "sampling_progress": ("SamplingProgress", "Window"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for (PEP 562): the command line starts without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".guidance.{_HOMES[name]}", __name__), name)
