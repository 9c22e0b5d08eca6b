"""Random graphs equal a sum written out by hand, and cost exactly the predictions that they need."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rigs.by_hand import coefficients, linear_sum
from rigs.counter import count_forwards
from rigs.graphs import chain, gcfg
from rigs.micro import FLAT, micro_cond, micro_model
from rigs.probe import guided
from rigs.random_graphs import RandomGraph, random_graph
from rigs.singly import predictions_at, sigmas_of

SIZE = (8, 8)
GRAPHS = 220
LIMIT = 1e-5
"""Of sum_j |a_j| |D_j|: float32 sums of up to 9 predictions, each itself from another batch than by hand."""


def flow_model(pack: Any, seed: int) -> Any:
    """A micro model on rectified-flow time, by core's ModelSamplingSD3 node."""
    return pack.run("ModelSamplingSD3", model=micro_model(seed, unet=FLAT), shift=1.0)[0]


@pytest.fixture(scope="module")
def models(pack: Any) -> list:
    """eps, eps, v, v, and last flow; the first four share a noise schedule."""
    kinds = ("eps", "eps", "v", "v")
    return [*(micro_model(seed, kind, FLAT) for seed, kind in enumerate(kinds)), flow_model(pack, 4)]


@pytest.fixture(scope="module")
def conds() -> list:
    return [micro_cond(i, tokens=8 if i == 3 else 4) for i in range(6)]


def noise_at(graph: RandomGraph, sigmas: list[float]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(graph.seed)
    shape = (graph.batch, 4, *SIZE)
    return [torch.randn(shape, generator=generator) * (1 + s * s) ** 0.5 for s in sigmas]


class Measured:
    """A guider asked at every (x, sigma) of a graph, with what each call cost on each model."""

    def __init__(self, guider: Any, models: list, xs: list[Tensor], sigmas: list[float]) -> None:
        self.chunks: list[int] = []
        self.forwards: list[int] = []
        with count_forwards(*models) as n:

            def around(ask: Any, k: int) -> Any:
                def counted(x: Tensor, sigma: Tensor) -> Tensor:
                    n.reset()
                    result = ask(x, sigma)
                    self.chunks.append(n.chunks)
                    self.forwards.append(n.forwards)
                    return result

                return counted

            self.results = guided(guider, xs, sigmas, around)


@pytest.mark.parametrize("first", range(0, GRAPHS, 20))
def test_random_graphs_equal_the_sum_and_its_cost(pack: Any, models: list, conds: list, first: int) -> None:
    """|D - sum_j a_j D_j| <= 1e-5 sum_j |a_j| |D_j|; chunks = predictions with a_j != 0; one forward a model."""
    price, module = pack.module("gcfg_core.guidance.cost"), pack.module("gcfg_core.guidance.sampling_progress")
    worst = 0.0
    for seed in range(first, first + 20):
        graph = random_graph(seed, pool=len(models), conds=len(conds))
        used, base_is_flow = [models[i] for i in graph.models], graph.models[0] == 4
        base, terms = used[0], chain(pack, (term.inputs(used, conds) for term in graph.terms))
        guider, trace = pack.run("GCFG_Guider", model=base, conditioning=conds[0], terms=terms)
        sigmas = sigmas_of(base, graph.percents)
        xs = noise_at(graph, sigmas)
        measured = Measured(guider, used, xs, sigmas)
        needed = []
        for k, (x, sigma, percent) in enumerate(zip(xs, sigmas, graph.percents, strict=True)):
            a = coefficients(graph.terms, [term.weight_at(percent) for term in graph.terms], SIZE)
            expected, scale = linear_sum(a, predictions_at(used, conds, x, sigma, base_is_flow))
            error = float((measured.results[k] - expected).norm()) / max(scale, 1e-30)
            worst = max(worst, error)
            assert error <= LIMIT, (str(graph), k)
            assert measured.chunks[k] == len(a), (str(graph), k, trace.formula)
            assert measured.forwards[k] == len({model for model, _ in a}), (str(graph), k)
            needed.append(len(a))
        assert [sum(record.evaluations) for record in trace.records] == needed
        cost = price.cost(
            guider.plan, sigmas, module.SamplingProgress(base.get_model_object("model_sampling").percent_to_sigma)
        )
        sizes = {term.mask.shape for term in graph.terms if term.mask is not None}
        assert cost.evaluations == sum(needed) or (len(sizes) > 1 and cost.evaluations > sum(needed))
    print(f"worst relative error {worst:.2e}")


def test_the_random_graphs_cover_what_they_should() -> None:
    """A generator that stopped making some kind of graph would let its errors pass."""
    graphs = [random_graph(seed, pool=5, conds=6) for seed in range(GRAPHS)]
    assert {len(graph.terms) for graph in graphs} == set(range(1, 9))
    assert {len(graph.models) for graph in graphs} == {1, 2, 3, 4}
    assert {graph.models[0] for graph in graphs} == set(range(5))
    terms = [term for graph in graphs for term in graph.terms]
    assert {term.curve for term in terms} == {"constant", "linear", "cosine", "ramp", "keyframes"}
    for kind in (lambda t: t.mask is not None, lambda t: t.weight < 0, lambda t: t.end < 1, lambda t: t.reference):
        assert sum(bool(kind(term)) for term in terms) > 50
    skipped = [
        graph for graph in graphs for percent in graph.percents
        if (0, 0) not in coefficients(graph.terms, [t.weight_at(percent) for t in graph.terms], SIZE)
    ]  # fmt: skip
    assert len(skipped) > 10  # calls in which the base cancels


@pytest.mark.parametrize("seed", range(12))
def test_a_batch_of_two_equals_two_batches_of_one(pack: Any, models: list, conds: list, seed: int) -> None:
    """Up to the last bits of float32: kernels sum in another order for another batch size."""
    graph = random_graph(1000 + seed, pool=len(models), conds=len(conds))
    for term in graph.terms:
        term.mask = term.mask[:1] if term.mask is not None and term.mask.ndim == 3 else term.mask
        term.modify = {"projection": ["off", "other terms", "own positive"][seed % 3], "norm_cap": float(seed % 2)}
    used = [models[i] for i in graph.models]
    guider = gcfg(
        pack, used[0], conds[0], *(term.inputs(used, conds) for term in graph.terms), rescale=0.3 * (seed % 4)
    )
    graph.batch = 2
    sigmas = sigmas_of(used[0], graph.percents)
    xs = noise_at(graph, sigmas)
    both = guided(guider, xs, sigmas)
    singles = [guided(guider, [x[i : i + 1] for x in xs], sigmas) for i in range(2)]
    for k, pair in enumerate(both):
        single = torch.cat([singles[0][k], singles[1][k]])
        assert (pair - single).flatten(1).norm(dim=1).le(2e-5 * single.flatten(1).norm(dim=1)).all()


def test_little_memory_splits_the_forwards_and_changes_nothing(
    pack: Any, models: list, conds: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One condition a forward where core's estimate says that two do not fit."""
    terms: tuple = ()
    for i in range(1, 4):
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=conds[i], weight=float(i))
    (guider, trace) = pack.run("GCFG_Guider", model=models[0], conditioning=conds[0], terms=terms)
    xs = [torch.randn(2, 4, *SIZE, generator=torch.Generator().manual_seed(0))]
    (whole,) = guided(guider, xs, [2.0])
    monkeypatch.setattr(models[0].model, "memory_required", lambda *args, **kwargs: 1e30)
    split = Measured(guider, [models[0]], xs, [2.0])
    assert (split.chunks, split.forwards, trace.evaluations) == ([4], [4], 4)
    assert (split.results[0] - whole).norm() <= 1e-5 * whole.norm()
