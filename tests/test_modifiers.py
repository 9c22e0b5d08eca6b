"""Projection, norm cap and rescale: closed forms, and graphs of all modifiers worked out by hand."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from gcfg_core.guidance.combine import rescale_result
from gcfg_core.guidance.modifiers import Modifier, NormCap, Project, cap_norm, project_away
from rigs.by_hand import ByHand
from rigs.graphs import chain
from rigs.micro import FLAT, micro_cond, micro_model
from rigs.probe import denoised, guided
from rigs.random_graphs import RandomGraph, random_graph

SIZE = (8, 8)
GRAPHS = 48
SIGMAS = (12.0, 5.0, 2.0, 0.8, 0.3)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).flatten(1).sum(1)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TestProjection:
    @pytest.mark.parametrize("shape", [(2, 4, 8, 8), (3, 16, 2, 4, 4)])
    def test_removes_exactly_the_parallel_part_of_each_sample(self, shape: tuple) -> None:
        d, v = noise(0, *shape), noise(1, *shape)
        away = project_away(d, v)
        assert (dot(away, v) / (dot(d, d) * dot(v, v)).sqrt()).abs().max() < 1e-6
        removed = d - away
        assert torch.allclose(dot(removed, v) ** 2, dot(removed, removed) * dot(v, v), rtol=1e-5)

    @pytest.mark.parametrize("parallel", [-1.0, 0.0, 0.3, 1.0, 2.0])
    def test_scales_the_parallel_part(self, parallel: float) -> None:
        v = torch.zeros(1, 2, 2, 2)
        v[0, 0] = 3.0
        d = torch.ones(1, 2, 2, 2)
        expected = torch.ones(1, 2, 2, 2)
        expected[0, 0] = parallel
        assert torch.allclose(project_away(d, v, parallel), expected)

    def test_parallel_of_one_is_neutral(self) -> None:
        d, v = noise(0, 2, 4, 8, 8), noise(1, 2, 4, 8, 8)
        assert torch.equal(project_away(d, v, 1.0), d)
        assert not Project("own positive", parallel=1.0).acts(0, None)

    def test_a_zero_direction_removes_nothing(self) -> None:
        d = noise(0, 2, 4, 8, 8)
        v = torch.stack([torch.zeros(4, 8, 8), noise(1, 4, 8, 8)])
        away = project_away(d, v)
        assert torch.equal(away[0], d[0])
        assert not torch.equal(away[1], d[1])

    def test_samples_do_not_mix(self) -> None:
        d, v = noise(0, 3, 4, 8, 8), noise(1, 3, 4, 8, 8)
        alone = torch.cat([project_away(d[i : i + 1], v[i : i + 1], 0.2) for i in range(3)])
        assert torch.allclose(project_away(d, v, 0.2), alone, atol=1e-6)

    def test_keeps_the_dtype(self) -> None:
        assert project_away(noise(0, 1, 4, 2, 2).half(), noise(1, 1, 4, 2, 2).half()).dtype == torch.float16


class TestNormCap:
    def test_shrinks_long_samples_and_leaves_short_ones(self) -> None:
        d = torch.stack([noise(0, 4, 8, 8), 1e-3 * noise(1, 4, 8, 8), torch.zeros(4, 8, 8)])
        capped = cap_norm(d, 2.0)
        assert torch.allclose(capped.flatten(1).norm(dim=1)[0], torch.tensor(2.0))
        assert torch.allclose(capped[0] / capped[0].norm(), d[0] / d[0].norm(), atol=1e-6)
        assert torch.equal(capped[1:], d[1:])


class TestRescale:
    def test_share_of_one_gives_the_positives_deviation(self) -> None:
        """At sigma where v is (x / (s^2 + 1) - x0) sqrt(s^2 + 1) / s, each sample on its own."""
        x, d, p = noise(0, 2, 4, 8, 8), 3 * noise(1, 2, 4, 8, 8), noise(2, 2, 4, 8, 8)
        sigma = torch.tensor([2.0, 0.5])

        def v_std(x0: Tensor) -> Tensor:
            s = sigma.view(-1, 1, 1, 1)
            return ((x / (s**2 + 1) - x0) * (s**2 + 1) ** 0.5 / s).flatten(1).std(1)

        assert torch.allclose(v_std(rescale_result(x, d, p, sigma, 1.0)), v_std(p), rtol=1e-5)
        assert torch.allclose(rescale_result(x, d, p, sigma, 0.0), d, atol=1e-5)

    def test_flow_rescales_the_velocity(self) -> None:
        x, d, p = noise(0, 2, 4, 8, 8), 3 * noise(1, 2, 4, 8, 8), noise(2, 2, 4, 8, 8)
        sigma = torch.tensor([0.9, 0.2])
        s = sigma.view(-1, 1, 1, 1)
        result = rescale_result(x, d, p, sigma, 1.0, flow=True)
        assert torch.allclose(((x - result) / s).flatten(1).std(1), ((x - p) / s).flatten(1).std(1), rtol=1e-5)


@pytest.fixture(scope="module")
def models() -> list:
    return [micro_model(0, unet=FLAT), micro_model(1, unet=FLAT), micro_model(2, "v", FLAT)]


@pytest.fixture(scope="module")
def conds() -> list:
    return [micro_cond(i) for i in range(5)]


def modified_graph(seed: int) -> RandomGraph:
    graph = random_graph(5000 + seed, pool=3, conds=5)
    r = random.Random(seed)
    for term in graph.terms:
        term.start, term.end, term.curve = 0.0, 1.0, "constant"  # weights have tests of their own
        if r.random() < 0.7:
            term.modify = {
                "projection": r.choice(["off", "own positive", "primary term", "other terms"]),
                "parallel": r.choice([0.0, 0.0, 0.5, 1.0, -1.0]),
                "norm_cap": r.choice([0.0, 0.0, 1.0, 20.0]),
                "refresh": r.choice([1, 1, 2, 3]),
            }
    return graph


@pytest.mark.parametrize("first", range(0, GRAPHS, 12))
def test_random_modified_graphs_equal_the_hand_written_sum_and_cost(
    pack: Any, models: list, conds: list, first: int
) -> None:
    """Relative to the sum of |w| |D|: rounding of float32 predictions, which projections do not amplify."""
    worst = 0.0
    for seed in range(first, first + 12):
        graph = modified_graph(seed)
        used, rescale = [models[i] for i in graph.models], [0.0, 0.7][seed % 2]
        terms = chain(pack, (term.inputs(used, conds) for term in graph.terms))
        guider, trace = pack.run("GCFG_Guider", model=used[0], conditioning=conds[0], terms=terms, rescale=rescale)
        xs = [noise(seed * 10 + k, graph.batch, 4, *SIZE) * (1 + s * s) ** 0.5 for k, s in enumerate(SIGMAS)]
        hand = ByHand(graph, rescale, SIZE)
        for k, result in enumerate(guided(guider, xs, list(SIGMAS))):
            known: dict = {}

            def predict(side: tuple[int, int], known: dict = known, used: list = used, x: Tensor = xs[k], k: int = k):
                if side not in known:
                    known[side] = denoised(used[side[0]], conds[side[1]], x, SIGMAS[k])
                return known[side]

            expected, asked = hand.call(xs[k], SIGMAS[k], predict)
            scale = (1 + 2 * sum(abs(t.weight) for t in graph.terms)) * max(float(d.norm()) for d in known.values())
            error = float((result - expected).norm()) / scale
            worst = max(worst, error)
            assert error <= 1e-5, (seed, k, trace.formula)
            assert sum(trace.records[k].evaluations) == len(asked), (seed, k, trace.formula)
    print(f"worst relative error {worst:.2e}")


def test_modify_acts_on_the_newest_term_alone(pack: Any, conds: list) -> None:
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=conds[1], label="a")
    (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=conds[2], label="b")
    (changed,) = pack.run("GCFG_ModifyTerm", terms=terms, projection="other terms", norm_cap=3.0, refresh=2)
    assert changed[0] is terms[0]
    modifiers = pack.module("gcfg_core.guidance.modifiers")
    assert changed[1].modifiers == (modifiers.NormCap(3.0), modifiers.Project("other terms"), modifiers.Refresh(2))
    assert terms[1].modifiers == ()  # the chain that went in is as it was


@pytest.mark.parametrize("name", sorted(Modifier.__abstractmethods__))
def test_a_modifier_that_leaves_a_question_open_cannot_be_made(name: str) -> None:
    answers = {other: getattr(NormCap, other) for other in Modifier.__abstractmethods__ if other != name}
    with pytest.raises(TypeError, match=name):
        type("Forgetful", (Modifier,), answers)()


def test_merge_keeps_the_order(pack: Any, conds: list) -> None:
    chains = [pack.run("GCFG_GuidanceTerm", positive=conds[i], label=str(i))[0] for i in range(4)]
    inputs = {f"terms_{i + 1}": chain for i, chain in enumerate(chains)}
    (merged,) = pack.run("GCFG_MergeTerms", **inputs)
    assert [term.label for term in merged] == ["0", "1", "2", "3"]
    (two,) = pack.run("GCFG_MergeTerms", terms_1=merged, terms_2=chains[0])
    assert [term.label for term in two] == ["0", "1", "2", "3", "0"]
