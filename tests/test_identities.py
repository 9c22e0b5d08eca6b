"""Graphs that must equal what ComfyUI itself computes: to the bit where the arithmetic is the same."""

from typing import Any

import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, cfg, gcfg, norm_error, points
from rigs.micro import FLAT, micro_cond, micro_latent, micro_model
from rigs.probe import guided, sampled
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

SAMPLERS = list(comfy.samplers.KSampler.SAMPLERS)
SCHEDULERS = list(comfy.samplers.KSampler.SCHEDULERS)
STEPS = 4
pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times


@pytest.fixture(scope="module")
def setting() -> tuple:
    return micro_model(0, unet=FLAT), micro_cond(1), micro_cond(2), micro_latent(3)


def sample(guider: comfy.samplers.CFGGuider, latent: dict, sampler: str, scheduler: str) -> Tensor:
    return sampled(guider, torch.zeros_like(latent["samples"]), STEPS, sampler, scheduler, seed=11)


class TestOneTerm:
    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_is_cfg_for_every_sampler_and_scheduler(
        self, pack: Any, setting: tuple, sampler: str, scheduler: str
    ) -> None:
        model, positive, negative, latent = setting
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 3.5}), latent, sampler, scheduler)
        core = sample(cfg(model, positive, negative, 3.5), latent, sampler, scheduler)
        assert torch.equal(ours, core)
        assert torch.isfinite(ours).all()

    @pytest.mark.parametrize("weight", [1.0, -2.0, 0.5, 7.5])
    @pytest.mark.parametrize("sampler", ["euler", "euler_cfg_pp", "heun"])
    def test_is_cfg_at_every_weight(self, pack: Any, setting: tuple, sampler: str, weight: float) -> None:
        model, positive, negative, latent = setting
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": weight}), latent, sampler, "normal")
        core = sample(cfg(model, positive, negative, weight), latent, sampler, "normal")
        assert torch.equal(ours, core)

    @pytest.mark.parametrize(
        ("kind", "sampler"),
        [*((kind, "dpmpp_2m") for kind in ("sd15", "sd2v", "sdxl", "sd3", "wan")), ("sd15", "heun"),
         ("sd15", "euler_cfg_pp"), ("sd3", "euler_cfg_pp"), ("wan", "euler"), ("wan", "euler_cfg_pp")],
    )  # fmt: skip
    def test_is_cfg_on_models_from_the_real_loaders(self, pack: Any, kind: str, sampler: str) -> None:
        model, latent = load_tiny(kind), tiny_latent(kind, size=8)
        positive, negative = tiny_cond(kind, 1), tiny_cond(kind, 2)
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 4.0}), latent, sampler, "simple")
        core = sample(cfg(model, positive, negative, 4.0), latent, sampler, "simple")
        assert torch.equal(ours, core)

    @pytest.mark.parametrize("prediction", ["eps", "v"])
    def test_is_cfg_on_batches_and_long_prompts(self, pack: Any, prediction: str) -> None:
        model, latent = micro_model(1, prediction), micro_latent(3, batch=3)
        positive, negative = micro_cond(1, tokens=8), micro_cond(2)
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 4.0}), latent, "heun", "karras")
        core = sample(cfg(model, positive, negative, 4.0), latent, "heun", "karras")
        assert torch.equal(ours, core)

    def test_negative_prompt_as_a_term_is_composition(self, pack: Any, setting: tuple) -> None:
        """base + w (positive - base) - v (negative - base)."""
        model, positive, negative, _ = setting
        empty, xs = micro_cond(9), points()
        terms = {"positive": positive, "weight": 3.0}, {"positive": negative, "weight": -1.25}
        ours = guided(gcfg(pack, model, empty, *terms), xs, SIGMAS)
        one = guided(cfg(model, positive, empty, 3.0), xs, SIGMAS)
        two = guided(cfg(model, negative, empty, -1.25), xs, SIGMAS)
        base = guided(cfg(model, empty, empty, 1.0), xs, SIGMAS)
        expected = [a + b - c for a, b, c in zip(one, two, base, strict=True)]
        assert max(map(norm_error, ours, expected)) <= 1e-6


class TestSkippedSides:
    @pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m_sde"])
    def test_evaluates_no_unconditional(self, pack: Any, setting: tuple, sampler: str) -> None:
        model, positive, negative, latent = setting
        ours = gcfg(pack, model, negative, {"positive": positive, "weight": 1.0})
        core = cfg(model, positive, negative, 1.0)
        with count_forwards(model) as n:
            one = sample(ours, latent, sampler, "normal")
            count = n.chunks
            n.reset()
            two = sample(core, latent, sampler, "normal")
        assert torch.equal(one, two)
        assert count == n.chunks == n.forwards

    def test_weight_zero_evaluates_the_base_alone(self, pack: Any, setting: tuple) -> None:
        """Core evaluates both at scale 0: a batch of two, whose last bits differ from a batch of one."""
        model, positive, negative, latent = setting
        with count_forwards(model) as n:
            ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 0.0}), latent, "heun", "normal")
        core = sample(cfg(model, positive, negative, 0.0), latent, "heun", "normal")
        alone = sample(cfg(model, negative, negative, 1.0), latent, "heun", "normal")
        assert n.chunks == 2 * STEPS - 1
        assert torch.equal(ours, alone)
        assert norm_error(ours, core) <= 1e-5

    def test_cfg_pp_samplers_get_the_real_unconditional(self, pack: Any, setting: tuple) -> None:
        """Such samplers ask for both sides at any scale (disable_cfg1_optimization), as under CFGGuider."""
        model, positive, negative, latent = setting
        with count_forwards(model) as n:
            sample(gcfg(pack, model, negative, {"positive": positive, "weight": 1.0}), latent, "euler_cfg_pp", "normal")
        assert n.chunks == 2 * STEPS


class TestNoTerms:
    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if "cfg_pp" not in s])
    def test_is_basic_guider(self, pack: Any, setting: tuple, sampler: str) -> None:
        model, positive, _, latent = setting
        ours = sample(gcfg(pack, model, positive), latent, sampler, "normal")
        (basic,) = pack.run("BasicGuider", model=model, conditioning=positive)
        assert torch.equal(ours, sample(basic, latent, sampler, "normal"))

    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if "cfg_pp" in s])
    def test_cfg_pp_samplers_see_the_base_on_both_sides(self, pack: Any, setting: tuple, sampler: str) -> None:
        """Core's BasicGuider hands them zeros as the unconditional; we hand them the base, as CFG between equals."""
        model, positive, _, latent = setting
        ours = sample(gcfg(pack, model, positive), latent, sampler, "normal")
        core = sample(cfg(model, positive, positive, 1.0), latent, sampler, "normal")
        assert norm_error(ours, core) <= 1e-5

    def test_evaluates_one_prediction_a_call(self, pack: Any, setting: tuple) -> None:
        model, positive, _, latent = setting
        with count_forwards(model) as n:
            sample(gcfg(pack, model, positive), latent, "euler", "normal")
        assert n.chunks == n.forwards == STEPS


class TestSetCfg:
    def test_changes_the_primary_terms_weight(self, pack: Any, setting: tuple) -> None:
        model, positive, negative, latent = setting
        guider = gcfg(pack, model, negative, {"positive": positive, "weight": 3.0})
        assert guider.cfg == 3.0
        guider.set_cfg(5.5)
        assert torch.equal(
            sample(guider, latent, "euler", "normal"),
            sample(cfg(model, positive, negative, 5.5), latent, "euler", "normal"),
        )

    def test_leaves_other_terms_alone(self, pack: Any, setting: tuple) -> None:
        model, positive, negative, _ = setting
        other, xs = micro_model(4), points()
        terms = [{"model": other, "weight": 2.0}, {"positive": positive, "weight": 3.0}]
        guider = gcfg(pack, model, negative, *terms)
        assert guider.cfg == 3.0
        guider.set_cfg(-1.5)
        direct = gcfg(pack, model, negative, terms[0], {"positive": positive, "weight": -1.5})
        assert all(map(torch.equal, guided(guider, xs, SIGMAS), guided(direct, xs, SIGMAS)))

    def test_weight_one_by_set_cfg_evaluates_no_unconditional(self, pack: Any, setting: tuple) -> None:
        model, positive, negative, latent = setting
        guider = gcfg(pack, model, negative, {"positive": positive, "weight": 3.0})
        guider.set_cfg(1.0)
        with count_forwards(model) as n:
            sample(guider, latent, "euler", "normal")
        assert n.chunks == STEPS

    def test_is_1_without_a_primary_term(self, pack: Any, setting: tuple) -> None:
        model, _, negative, _ = setting
        assert gcfg(pack, model, negative, {"model": micro_model(4), "weight": 2.0}).cfg == 1.0
