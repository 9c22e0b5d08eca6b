"""Random graphs of everything at once equal the sum written out by hand in float64, or are refused by name.

Terms with windows, curves, masks and weights of both signs; conditions with timestep ranges, areas, masks, strengths,
in combination, of several prompts; batches; models that share a module (LoRAs), are quantized, predict eps, v or flow,
or lie on a second device.
"""

import contextlib
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from rigs.by_hand import BASE, coefficients, linear_sum, primary_of
from rigs.covers import core_cover, random_limits
from rigs.graphs import gcfg
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_model
from rigs.packed import packed_model
from rigs.probe import guided
from rigs.random_graphs import RandomGraph, random_graph
from rigs.second_device import SecondDevice, move
from rigs.singly import is_flow, own_time, predictions_at, sigmas_of

SIZE = 16
BLOCK, BLOCKS = 25, 40
LIMIT = 1e-5
"""Of sum_j |a_j| |D_j|."""
CONDS = 6


class World:
    """The models that graphs are drawn from. Those that move lie on the second device."""

    def __init__(self, pack: Any, second_device: bool) -> None:
        base, packed = micro_model(0), packed_model(2)
        (flow,) = pack.run("ModelSamplingSD3", model=micro_model(4), shift=1.0)
        self.models = [base, with_lora(base, 1), with_lora(base, 2, -0.7), packed, with_lora(packed, 3),
                       micro_model(3, "v"), flow, micro_model(5)]  # fmt: skip
        if second_device:
            move(self.models[-1])


@pytest.fixture(scope="module")
def world(pack: Any) -> World:
    return World(pack, second_device=False)


def random_conditions(pack: Any, graph: RandomGraph) -> list:
    """Most of them limited at random, the base's seldom; some of several prompts."""
    r = random.Random(graph.seed)
    conds = []
    for seed in range(CONDS):
        count = r.choice([1, 1, 1, graph.batch])
        prompts = [micro_cond(10 * seed + k, tokens=r.choice([4, 4, 8]) if count == 1 else 4) for k in range(count)]
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


def check_graph(pack: Any, seed: int, models: list, around: Any = contextlib.nullcontext) -> str:
    """Compare one graph with its sum; "equal", or "refused" where the base condition leaves something out."""
    graph = random_graph(seed, pool=len(models), conds=CONDS, size=SIZE)
    used, conds = [models[i] for i in graph.models], random_conditions(pack, graph)
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


@pytest.mark.parametrize("block", [pytest.param(k, marks=[pytest.mark.slow] if k else []) for k in range(BLOCKS)])
def test_a_graph_is_its_sum_or_refused_by_name(pack: Any, world: World, block: int) -> None:
    outcomes = [check_graph(pack, BLOCK * block + k, world.models) for k in range(BLOCK)]
    assert outcomes.count("equal") > BLOCK / 2


@pytest.mark.parametrize("block", [pytest.param(k, marks=[pytest.mark.slow] if k else []) for k in range(5)])
def test_with_a_model_on_a_second_device_too(pack: Any, block: int) -> None:
    models = World(pack, second_device=True).models
    outcomes = [check_graph(pack, 5000 + 10 * block + k, models, SecondDevice) for k in range(10)]
    assert outcomes.count("equal") > 5
