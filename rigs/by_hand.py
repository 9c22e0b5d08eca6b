"""Guidance graphs computed by hand, in float64, from predictions that were made one by one; and a run by hand."""

import itertools
from collections.abc import Callable
from typing import Any

import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from rigs.random_graphs import RandomGraph, RandomTerm

Side = tuple[int, int]
BASE: Side = (0, 0)
FULL = torch.ones(1, 1, 1, 1, dtype=torch.float64)


def fitted(mask: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Resize a mask [H, W] or [N, H, W] to a float64 map [N, 1, h, w]."""
    if mask is None:
        return FULL
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    if mask.shape[-2:] != size:
        mask = torch.nn.functional.interpolate(mask, size=size, mode="bilinear")
    return mask.double()


def coefficients(
    terms: list[RandomTerm], weights: list[float], size: tuple[int, int],
    cover: Callable[[Side], Tensor] = lambda side: FULL,
) -> dict[Side, Tensor]:  # fmt: skip
    """Return a_j of every prediction that takes part, as maps; coefficients that are zero everywhere are left out.

    Args:
        cover: returns where a side's condition is in force, [B or 1, 1, h, w] of zeros and ones.
    """
    total: dict[Side, Tensor] = {BASE: FULL.clone()}
    scale: dict[Side, float] = {BASE: 1.0}
    for term, weight in zip(terms, weights, strict=True):
        mask = fitted(term.mask, size) * cover(term.side("positive")) * cover(term.side("reference"))
        for side, sign in ((term.side("positive"), 1), (term.side("reference"), -1)):
            total[side] = total.get(side, 0 * FULL) + sign * weight * mask
            scale[side] = scale.get(side, 0.0) + abs(weight)
    return {side: a for side, a in total.items() if a.abs().max() > 1e-6 * scale[side]}


def linear_sum(a: dict[Side, Tensor], predict: Callable[[Side], Tensor]) -> tuple[Tensor, float]:
    """Return sum_j a_j D_j, and sum_j |a_j| |D_j| for scale."""
    result, scale = torch.zeros(1, dtype=torch.float64), 0.0
    for side, coefficient in a.items():
        d = predict(side).double()
        result = result + coefficient * d
        scale += float((coefficient.abs() * d).norm())
    return result, scale


def euler(
    model: Any, latent: Tensor, predict: Callable[[Tensor, float], Tensor], steps: int, scheduler: str = "normal"
) -> Tensor:
    """Sample like a sampler node with euler, seed 0 and denoise 1: x <- x + (sigma_next - sigma) (x - D) / sigma.

    Args:
        model: for its noise schedule and its latents' scale.
        latent: [B, C, ...].
        predict: D at (x, sigma).
    """
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.KSampler(model, steps, latent.device, "euler", scheduler, 1.0).sigmas
    noise = comfy.sample.prepare_noise(latent, 0)
    x = sampling.noise_scaling(sigmas[0], noise, model.model.process_latent_in(latent), True)
    for sigma, following in itertools.pairwise(sigmas.tolist()):
        x = x + (following - sigma) * (x - predict(x, sigma)) / sigma
    return model.model.process_latent_out(sampling.inverse_noise_scaling(sigmas[-1], x))


def primary_of(graph: RandomGraph) -> int | None:
    """Return the index of the first term that is (base model, some other condition) - (base model, base condition)."""
    for i, term in enumerate(graph.terms):
        model, cond = term.side("positive")
        if term.side("reference") == BASE and model == 0 and cond != 0:
            return i
    return None


class ByHand:
    """A graph with modifiers, call after call: cap, then project, then weight and mask, differences reused."""

    def __init__(self, graph: RandomGraph, rescale: float, size: tuple[int, int]) -> None:
        self.graph, self.rescale, self.size, self.primary = graph, rescale, size, primary_of(graph)
        self.stored: dict[int, tuple[int, Tensor, Tensor]] = {}
        self.calls, self.last = -1, float("inf")

    def options(self, i: int) -> dict:
        return {"projection": "off", "parallel": 0.0, "norm_cap": 0.0, "refresh": 1} | self.graph.terms[i].modify

    def call(self, x: Tensor, sigma: float, predict: Callable[[Side], Tensor]) -> tuple[Tensor, set[Side]]:
        """Return the guided prediction at (x, sigma), and the predictions that it needs."""
        self.calls += 1
        if sigma > self.last:
            self.stored.clear()
        self.last = sigma
        terms, asked = self.graph.terms, set[Side]()
        raw, own, fresh = self._differences(predict)
        whole = {i for i in raw if i in self._exact() or i not in fresh}
        result = torch.zeros_like(x, dtype=torch.float64)
        for i in whole:
            result = result + terms[i].weight * fitted(terms[i].mask, self.size) * self._modified(i, raw, own)
            if i in fresh:
                asked |= {terms[i].side("positive"), terms[i].side("reference")}
        rest = [term for i, term in enumerate(terms) if i not in whole]
        a = coefficients(rest, [term.weight for term in rest], self.size)
        result = result + linear_sum(a, predict)[0]
        asked |= set(a)
        if self.rescale:
            asked.add(terms[0].side("positive"))
            result = self._rescaled(x, sigma, result, predict(terms[0].side("positive")).double())
        return result, asked

    def _differences(self, predict: Callable[[Side], Tensor]) -> tuple[dict, dict, set[int]]:
        """Return every term's difference and positive prediction, new or reused, and the terms whose are new."""
        for i, term in enumerate(self.graph.terms):
            if i not in self.stored or self.calls - self.stored[i][0] >= self.options(i)["refresh"]:
                own = predict(term.side("positive")).double()
                self.stored[i] = self.calls, own - predict(term.side("reference")).double(), own
        raw, own = ({i: entry[k] for i, entry in self.stored.items()} for k in (1, 2))
        return raw, own, {i for i, entry in self.stored.items() if entry[0] == self.calls}

    def _exact(self) -> set[int]:
        """Return the terms whose difference is used as a whole: modified terms, and terms that are another's
        direction."""
        exact = set()
        for i in range(len(self.graph.terms)):
            options = self.options(i)
            projects = options["projection"] != "off" and options["parallel"] != 1.0
            if projects or options["norm_cap"] or options["refresh"] > 1:
                exact.add(i)
            if projects and options["projection"] == "primary term" and self.primary is not None:
                exact.add(self.primary)
            if projects and options["projection"] == "other terms":
                exact |= set(range(len(self.graph.terms)))
        return exact

    def _modified(self, i: int, raw: dict, own: dict) -> Tensor:
        options, d = self.options(i), raw[i]
        if options["norm_cap"]:
            d = torch.stack([s * min(1.0, options["norm_cap"] / max(float(s.norm()), 1e-30)) for s in d])
        direction = None
        if options["projection"] == "own positive":
            direction = own[i]
        elif options["projection"] == "primary term" and self.primary not in (None, i):
            direction = raw[self.primary]
        elif options["projection"] == "other terms" and len(raw) > 1:
            terms = self.graph.terms
            direction = sum(terms[j].weight * fitted(terms[j].mask, self.size) * raw[j] for j in raw if j != i)
        if direction is None:
            return d
        out = []
        for s, v in zip(d, direction, strict=True):
            square = float((v * v).sum())
            out.append(s if square == 0 else s - (1 - options["parallel"]) * float((s * v).sum()) / square * v)
        return torch.stack(out)

    def _rescaled(self, x: Tensor, sigma: float, result: Tensor, positive: Tensor) -> Tensor:
        q = sigma * sigma + 1

        def v(x0: Tensor) -> Tensor:
            return (x.double() / q - x0) * q**0.5 / sigma

        ratio = v(positive).flatten(1).std(1) / v(result).flatten(1).std(1)
        mixed = v(result) * (self.rescale * ratio + 1 - self.rescale).view(-1, 1, 1, 1)
        return x.double() / q - mixed * sigma / q**0.5
