"""Random graphs of everything at once equal the sum written out by hand in float64, or are refused by name.

Terms with windows, curves, masks and weights of both signs; conditions with timestep ranges, areas, masks, strengths,
in combination, of several prompts; batches; models that share a module (LoRAs), are quantized, predict eps, v or flow,
or lie on a second device.
"""

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from rigs.by_hand import BASE, coefficients, linear_sum, primary_of
from rigs.covers import core_cover, random_limits
from rigs.graphs import gcfg
from rigs.lora import with_lora
from rigs.micro import FLAT, micro_cond, micro_model
from rigs.packed import packed_model
from rigs.probe import guided
from rigs.quantized import FORMS, quantized_cond, quantized_model
from rigs.random_graphs import RandomGraph, random_graph
from rigs.second_device import move, second_device
from rigs.singly import is_flow, own_time, predictions_at, sigmas_of

SIZE = 8
BLOCK = 25
LIMIT = 1e-5
"""Of sum_j |a_j| |D_j|."""
CONDS = 6


@dataclass
class World:
    """The models that graphs are drawn from, and a condition of theirs for each seed and number of tokens."""

    models: list
    cond: Callable[..., list] = micro_cond


def micro_world(pack: Any) -> World:
    base, packed = micro_model(0, unet=FLAT), packed_model(2, FLAT)
    (flow,) = pack.run("ModelSamplingSD3", model=micro_model(4, unet=FLAT), shift=1.0)
    clones = [with_lora(base, 1), with_lora(base, 2, -0.7), packed, with_lora(packed, 3)]
    return World([base, *clones, micro_model(3, "v", FLAT), flow, micro_model(5, unet=FLAT)])


def quantized_world() -> World:
    """The stored forms of newer hosts, each with a LoRA clone.

    The same prediction in another batch differs in core itself by 1e-3 (int8, asym w4a8) or 1e-2 (convrot w4a4), in
    the other forms by 4e-7: so each condition has a forward of its own here, as where memory is short.
    """
    stored = [quantized_model(form, seed) for seed, form in enumerate(FORMS)]
    for model in stored:
        model.model.memory_required = lambda *_, **__: 1e30
    return World([*stored, *(with_lora(model, 1) for model in stored)], quantized_cond)


@pytest.fixture(scope="module")
def world(pack: Any) -> World:
    return micro_world(pack)


def random_conditions(pack: Any, graph: RandomGraph, cond: Callable[..., list]) -> list:
    """Most of them limited at random, the base's seldom; some of several prompts."""
    r = random.Random(graph.seed)
    conds = []
    for seed in range(CONDS):
        count = r.choice([1, 1, 1, graph.batch])
        tokens = r.choice([4, 4, 8]) if count == 1 else 4
        prompts = [cond(10 * seed + k, tokens) for k in range(count)]
        condition = [[torch.cat([prompt[0][0] for prompt in prompts]), {}]]
        is_limited = r.random() < (0.1 if seed == 0 else 0.6)
        conds.append(random_limits(pack, condition, r, SIZE, graph.batch) if is_limited else condition)
    return conds


class ByHand:
    """What a graph must give at (x, sigma)."""

    def __init__(self, graph: RandomGraph, models: list, conds: list) -> None:
        self.graph, self.models, self.conds = graph, models, conds
        self.base_is_flow = is_flow(models[0])
        self.primary = primary_of(graph)

    def pair(self, side: tuple[int, int]) -> dict[str, Any]:
        """The primary pair is processed together, as CFGGuider does: an area of one is an area of the other."""
        if self.primary is None:
            return {"name": "negative" if self.graph.terms else "positive"} if side == BASE else {}
        positive = self.graph.terms[self.primary].side("positive")
        if side == BASE:
            return {"name": "negative", "beside": self.conds[positive[1]]}
        return {"beside": self.conds[0]} if side == positive else {}

    def cover(self, side: tuple[int, int], x: Tensor, sigma: float) -> Tensor:
        model = self.models[side[0]]
        at = own_time(model, x, sigma, self.base_is_flow)
        return core_cover(model, self.conds[side[1]], *at, **self.pair(side))[:, :1].double()

    def call(self, x: Tensor, sigma: float, percent: float) -> tuple[Tensor, float, int]:
        """The sum, its scale, and how many predictions it takes."""
        terms, covers = self.graph.terms, {}

        def cover(side: tuple[int, int]) -> Tensor:
            if side not in covers:
                covers[side] = self.cover(side, x, sigma)
            return covers[side]

        a = coefficients(terms, [term.weight_at(percent) for term in terms], (SIZE, SIZE), cover)
        predict = predictions_at(self.models, self.conds, x, sigma, self.base_is_flow, self.pair)
        return *linear_sum(a, predict), len(a)


def check_graph(pack: Any, seed: int, world: World, around: Any = contextlib.nullcontext) -> str:
    """Compare one graph with its sum; "equal", or "refused" where the base condition leaves something out."""
    graph = random_graph(seed, pool=len(world.models), conds=CONDS, size=SIZE)
    used, conds = [world.models[i] for i in graph.models], random_conditions(pack, graph, world.cond)
    sigmas = sigmas_of(used[0], graph.percents)
    generator = torch.Generator().manual_seed(seed)
    xs = [torch.randn(graph.batch, 4, SIZE, SIZE, generator=generator) * (1 + s * s) ** 0.5 for s in sigmas]
    by_hand = ByHand(graph, used, conds)
    guider = gcfg(pack, used[0], conds[0], *(term.inputs(used, conds) for term in graph.terms))
    with around():
        is_whole = all(bool(by_hand.cover(BASE, x, s).all()) for x, s in zip(xs, sigmas, strict=True))
        if not is_whole:
            with pytest.raises(ValueError, match="input 'conditioning'"):
                guided(guider, xs, sigmas)
            return "refused"
        results = guided(guider, xs, sigmas)
        for k, (x, sigma, percent) in enumerate(zip(xs, sigmas, graph.percents, strict=True)):
            expected, scale, count = by_hand.call(x, sigma, percent)
            error = float((results[k] - expected).norm()) / max(scale, 1e-30)
            assert error <= LIMIT, (seed, k, error, guider.trace.formula)
            assert sum(guider.trace.records[k].evaluations) == count, (seed, k, guider.trace.formula)
    return "equal"


def blocks(count: int) -> Any:
    """The first block in every run, the others as slow tests."""
    marked = [pytest.param(k, marks=[pytest.mark.slow] if k else []) for k in range(count)]
    return pytest.mark.parametrize("block", marked)


@blocks(38)
def test_a_graph_is_its_sum_or_refused_by_name(pack: Any, world: World, block: int) -> None:
    outcomes = [check_graph(pack, BLOCK * block + k, world) for k in range(BLOCK)]
    assert outcomes.count("equal") > BLOCK / 2


@blocks(5)
def test_with_a_model_on_a_second_device_too(pack: Any, block: int) -> None:
    world = micro_world(pack)
    move(world.models[-1])
    outcomes = [check_graph(pack, 5000 + 10 * block + k, world, second_device) for k in range(10)]
    assert outcomes.count("equal") > 5


@pytest.mark.skipif(not FORMS, reason="this ComfyUI reads no quantized forms of comfy-kitchen")
@blocks(5)
def test_with_quantized_models_and_their_clones(pack: Any, block: int) -> None:
    world = quantized_world()
    outcomes = [check_graph(pack, 7000 + 10 * block + k, world) for k in range(10)]
    assert outcomes.count("equal") > 5
