"""Sweeps through the pack's nodes, and a VAE that records the latents it decodes."""

from collections.abc import Callable
from typing import Any

import comfy.sd
import comfy.utils
import torch
from torch import Tensor

from rigs.checkpoints import tiny_vae
from rigs.graphs import chain
from rigs.micro import micro_cond, micro_latent, micro_model

STEPS = 5
WEIGHTS = ("weight", "control", "0, 1.5, 3"), ("weight", "concept", "0:-2:2")
"""Two axes for the graph below."""
NULL, PROMPT = micro_cond(2), micro_cond(1)


class WatchedVAE(comfy.sd.VAE):
    """A tiny autoencoder for SD1.5's latents.

    Attributes:
        seen: the latents that it decoded.
        at_second: called when it decodes the second.
    """

    def __init__(self) -> None:
        super().__init__(sd=comfy.utils.load_torch_file(str(tiny_vae("sd15"))))
        self.seen: list[Tensor] = []
        self.at_second: Callable[[], None] = lambda: None

    def decode(self, samples_in: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self.seen.append(samples_in.clone())
        if len(self.seen) == 2:
            self.at_second()
        return super().decode(samples_in, *args, **kwargs)


class Graph:
    """A concept and a prompt on micro models, sampled in few steps by a sampler that draws noise between them.

    Args:
        options: further inputs of GCFG Sampler and GCFG Sweep.
    """

    def __init__(self, pack: Any, **options: Any) -> None:
        self.pack, self.base, self.other, self.vae = pack, micro_model(0), micro_model(1), WatchedVAE()
        self.terms: dict[str, dict[str, Any]] = {
            "concept": {
                "model": self.other, "weight": 2.0, "curve": "ramp", "start_percent": 0.1, "end_percent": 0.8,
            },
            "control": {"positive": PROMPT, "weight": 3.0, "curve": "linear", "curve_end": 0.3},
        }  # fmt: skip
        self.shared = {
            "model": self.base, "conditioning": NULL, "latent_image": micro_latent(0), "steps": STEPS, "seed": 5,
            "sampler_name": "euler_ancestral", "rescale": 0.2, **options,
        }  # fmt: skip

    def chain(self, **changes: dict[str, float]) -> tuple:
        """The terms, with these inputs changed, by label."""
        return chain(self.pack, ({"label": name, **term, **changes.get(name, {})} for name, term in self.terms.items()))

    def axis(self, parameter: str, term: str, values: str) -> Any:
        return self.pack.run("GCFG_SweepAxis", parameter=parameter, term=term, values=values)[0]

    def arguments(self, columns: tuple, rows: tuple | None = None, **inputs: Any) -> dict[str, Any]:
        """Return the arguments of the GCFG Sweep, with its axes given as (parameter, term, values)."""
        axes = {"columns": self.axis(*columns)} | ({"rows": self.axis(*rows)} if rows else {})
        return {**self.shared, **axes, "vae": self.vae, "terms": self.chain(), **inputs}

    def sweep(self, columns: tuple, rows: tuple | None = None, **inputs: Any) -> tuple[Tensor, Tensor]:
        """Return (grid, images)."""
        return self.pack.run("GCFG_Sweep", **self.arguments(columns, rows, **inputs))

    def sampled(self, *changes: tuple[str, str, float]) -> Tensor:
        """Return the latent of GCFG Sampler, with each (parameter, term, value) written into its node."""
        of_terms: dict[str, dict[str, float]] = {}
        of_sampler = {}
        for parameter, term, value in changes:
            (of_terms.setdefault(term, {}) if term in self.terms else of_sampler)[parameter] = value
        inputs = {**self.shared, **of_sampler, "terms": self.chain(**of_terms)}
        return self.pack.run("GCFG_Sampler", **inputs)[0]["samples"]


def same(one: Tensor, other: Tensor) -> bool:
    """True if the tensors are equal to the bit, on the same device and of the same dtype."""
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)


def place(pack: Any, k: int, size: int) -> tuple[int, int]:
    """Return the position of picture k in the grid of WEIGHTS, with pictures ``size`` pixels wide."""
    drawing, heading = pack.module("nodes.drawing.sweep_layout"), pack.module("gcfg_core.guidance.sweep").Heading
    columns, rows = heading("weight of control", ("0", "1.5", "3")), heading("weight of concept", ("0", "-2"))
    return drawing.Layout(columns, rows, (64, 64), size).corner(k)
