"""Guidance graphs through the pack's nodes, and the sums they must equal."""

from collections.abc import Iterable, Sequence
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

SIGMAS = (9.0, 3.0, 0.4)


def chain(pack: Any, terms: Iterable[dict[str, Any]]) -> tuple:
    """Make guidance terms from their nodes' inputs and, under "modify", those of a Modify Guidance Term after them."""
    out: tuple = ()
    for term in terms:
        inputs = {name: value for name, value in term.items() if name != "modify"}
        (out,) = pack.run("GCFG_GuidanceTerm", terms=out, **inputs)
        if term.get("modify"):
            (out,) = pack.run("GCFG_ModifyTerm", terms=out, **term["modify"])
    return out


def gcfg(pack: Any, model: Any, base: list, *terms: dict[str, Any], **options: Any) -> comfy.samplers.CFGGuider:
    """Make the GCFG Guider of a ``chain`` of terms."""
    return pack.run("GCFG_Guider", model=model, conditioning=base, terms=chain(pack, terms), **options)[0]


def refreshing(pack: Any, every: int, **term: Any) -> Any:
    """Make a chain of one term whose difference is reused until its ``every``-th call."""
    (terms,) = pack.run("GCFG_GuidanceTerm", **term)
    return pack.run("GCFG_ModifyTerm", terms=terms, refresh=every)[0]


def cfg(model: Any, positive: list, negative: list, scale: float) -> comfy.samplers.CFGGuider:
    """Make ComfyUI's own guider."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(scale)
    return guider


def points(sigmas: Sequence[float] = SIGMAS, batch: int = 1, size: int = 8) -> list[Tensor]:
    """Return one x for each sigma, with that much noise: [batch, 4, size, size]."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(batch, 4, size, size, generator=generator) * (s * s + 1) ** 0.5 for s in sigmas]


def relative_error(ours: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference over all predictions, relative to the largest expected value of its prediction."""
    pairs = list(zip(ours, expected, strict=True))
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


def norm_error(got: Tensor, expected: Tensor) -> float:
    """||got - expected|| / ||expected||, in float64."""
    return float((got.double() - expected.double()).norm() / expected.double().norm())
