"""Refresh: a term's difference is evaluated at every so many calls and reused between them, within one run."""

from typing import Any

import pytest
import torch

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, gcfg, points
from rigs.micro import micro_cond, micro_model
from rigs.probe import guided

C, U = micro_cond(1), micro_cond(0)


@pytest.fixture(scope="module")
def base() -> Any:
    return micro_model(0)


@pytest.fixture(scope="module")
def concept() -> Any:
    return micro_model(1)


def concept_term(model: Any, refresh: int) -> dict[str, Any]:
    return {"model": model, "weight": 2.5, "modify": {"refresh": refresh}}


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_costs_one_kth(pack: Any, base: Any, concept: Any, every: int) -> None:
    """A concept term of its own model: evaluated at calls 0, k, 2k ..., the base at every call."""
    guider = gcfg(pack, base, U, concept_term(concept, every))
    sigmas = [10.0 / (k + 1) for k in range(12)]
    with count_forwards(concept) as n:
        guided(guider, points(sigmas), sigmas)
    assert n.of(concept).chunks == -(-12 // every)
    price, module = pack.module("gcfg_core.guidance.cost"), pack.module("gcfg_core.guidance.sampling_progress")
    progress = module.SamplingProgress(base.get_model_object("model_sampling").percent_to_sigma)
    cost = price.cost(guider.plan, sigmas, progress)
    assert cost.evaluations == guider.trace.evaluations == 12 - (-12 // every)


def test_of_one_changes_no_bit(pack: Any, base: Any) -> None:
    neutral = {"projection": "off", "parallel": 1.0, "norm_cap": 0.0, "refresh": 1}
    term = {"positive": C, "weight": 2.5}
    plain = guided(gcfg(pack, base, U, term), points(), SIGMAS)
    same = guided(gcfg(pack, base, U, term | {"modify": neutral}), points(), SIGMAS)
    assert all(map(torch.equal, plain, same))


def test_is_dropped_when_sigma_rises(pack: Any, base: Any, concept: Any) -> None:
    sigmas = [9.0, 3.0, 1.0, 5.0, 2.0]
    with count_forwards(concept) as n:
        guided(gcfg(pack, base, U, concept_term(concept, 100)), points(sigmas), sigmas)
    assert n.of(concept).sigmas == [9.0, 5.0]


def test_nothing_is_kept_from_one_run_to_the_next(pack: Any, base: Any, concept: Any) -> None:
    guider = gcfg(pack, base, U, concept_term(concept, 100))
    with count_forwards(concept) as n:
        for _ in range(2):
            guided(guider, points((3.0, 3.0)), (3.0, 3.0))
    assert n.of(concept).chunks == 2
