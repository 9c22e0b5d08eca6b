"""`guider.cfg` is the primary term's weight at every call, as under CFGGuider; cfg hooks keep to the term's mask."""

from collections.abc import Callable
from typing import Any

import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.micro import micro_cond, micro_model
from rigs.probe import guided

C, U = micro_cond(1), micro_cond(3)


def scheduled(guider: comfy.samplers.CFGGuider, scales: tuple[float, ...]) -> list[Tensor]:
    """Asked once at each point, ``cfg`` set just before, as a sampler or callback of another pack does."""

    def around(ask: Callable, k: int) -> Callable:
        guider.set_cfg(scales[k])
        return ask

    return guided(guider, points(), SIGMAS, around)


@pytest.mark.parametrize("scales", [(3.0, 4.0, 5.0), (7.0, 1.0, 2.0)])
def test_a_cfg_that_changes_while_sampling_is_followed(pack: Any, scales: tuple) -> None:
    model = micro_model(0)
    with count_forwards(model) as n:
        ours = scheduled(gcfg(pack, model, U, {"positive": C, "weight": 3.0}), scales)
    assert n.chunks == sum(1 if scale == 1.0 else 2 for scale in scales)
    assert all(map(torch.equal, ours, scheduled(cfg(model, C, U, 3.0), scales)))


def test_other_terms_keep_their_weights(pack: Any) -> None:
    model, other = micro_model(0), micro_model(5)
    term = {"model": other, "positive": C, "weight": 1.7}
    ours = scheduled(gcfg(pack, model, U, {"positive": C, "weight": 3.0}, term), (3.0, 6.0, 2.0))
    apart = [
        guided(gcfg(pack, model, U, {"positive": C, "weight": scale}, term), points(), SIGMAS)[k]
        for k, scale in enumerate((3.0, 6.0, 2.0))
    ]
    assert all(map(torch.equal, ours, apart))


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_a_model_that_asks_for_both_sides_gets_them(pack: Any, flag: bool, weight: float) -> None:
    """Also without any hook: core then evaluates a batch of two, whose last bits differ from a batch of one."""
    model = micro_model(0)
    model.model_options["disable_cfg1_optimization"] = flag
    with count_forwards(model) as n:
        ours = guided(gcfg(pack, model, U, {"positive": C, "weight": weight}), points(), SIGMAS)
    with count_forwards(model) as core:
        theirs = guided(cfg(model, C, U, weight), points(), SIGMAS)
    assert n.chunks == core.chunks
    assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("weight", [0.0, 1e-9, 2.0])
def test_a_cfg_function_acts_inside_the_primary_terms_mask(pack: Any, weight: float) -> None:
    """A weight that passes through 0 makes no jump outside the mask."""
    model, mask = micro_model(0), torch.zeros(1, 8, 8)
    mask[..., :4] = 1.0
    model.set_model_sampler_cfg_function(lambda args: args["uncond"] + 5.0, disable_cfg1_optimization=True)
    ours = guided(gcfg(pack, model, U, {"positive": C, "weight": weight, "mask": mask}), points(), SIGMAS)
    base = guided(cfg(micro_model(0), U, U, 1.0), points(), SIGMAS)
    assert relative_error([one[..., 4:] for one in ours], [one[..., 4:] for one in base]) <= 1e-5
    assert relative_error([one[..., :4] for one in ours], [one[..., :4] - 5.0 for one in base]) <= 1e-5


def test_an_empty_schedule_leaves_no_old_trace(pack: Any) -> None:
    guider, trace = pack.run("GCFG_Guider", model=micro_model(0), conditioning=U)
    guided(guider, points(), SIGMAS)
    assert len(trace.records) == len(SIGMAS)
    x = points()[0]
    guider.sample(x, x, comfy.samplers.sampler_object("euler"), torch.tensor([]))
    assert not trace.records
