"""ComfyUI's result hooks (pre-cfg, cfg, post-cfg) act on the primary term as under CFGGuider."""

import logging
from collections.abc import Sequence
from typing import Any

import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.micro import DEEP, micro_cond, micro_model
from rigs.probe import denoised, guided

LIMIT = 1e-5
HOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "PAG": ("PerturbedAttentionGuidance", {"scale": 2.0}),
    "SAG": ("SelfAttentionGuidance", {"scale": 0.7, "blur_sigma": 1.5}),
    "RescaleCFG": ("RescaleCFG", {"multiplier": 0.6}),
    "APG": ("APG", {"eta": 0.3, "norm_threshold": 2.0, "momentum": 0.4}),
    "CFGZeroStar": ("CFGZeroStar", {}),
    "TCFG": ("TCFG", {}),
    "Mahiro": ("Mahiro", {}),
    "Epsilon Scaling": ("Epsilon Scaling", {"scaling_factor": 1.1}),
}
COMBINATIONS = [
    ("PAG", "RescaleCFG"),
    ("SAG", "TCFG", "Mahiro"),
    ("APG", "CFGZeroStar"),
    ("TCFG", "RescaleCFG", "PAG", "Epsilon Scaling"),
]
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))
WEIGHT = 3.5


def hooked(pack: Any, model: Any, names: Sequence[str]) -> Any:
    for name in names:
        node, inputs = HOOKS[name]
        model = pack.run(node, model=model, **inputs)[0]
    return model


class TestOneTerm:
    @pytest.mark.parametrize("names", [(name,) for name in HOOKS] + COMBINATIONS, ids="+".join)
    def test_equals_cfg_guider_to_the_bit(self, pack: Any, names: tuple[str, ...]) -> None:
        model = hooked(pack, micro_model(), names)
        ours = guided(gcfg(pack, model, U, {"positive": C, "weight": WEIGHT}), points(batch=2), SIGMAS)
        core = guided(cfg(model, C, U, WEIGHT), points(batch=2), SIGMAS)
        assert all(map(torch.equal, ours, core))
        without = guided(cfg(micro_model(), C, U, WEIGHT), points(batch=2), SIGMAS)
        assert relative_error(core, without) > 1e-3, "the hook does nothing, so this shows nothing"

    @pytest.mark.parametrize("name", HOOKS)
    def test_equals_cfg_guider_at_weight_1(self, pack: Any, name: str) -> None:
        """The base is evaluated for the hooks that ask for it, as under CFGGuider."""
        model = hooked(pack, micro_model(), [name])
        with count_forwards(model) as ours_count:
            ours = guided(gcfg(pack, model, U, {"positive": C, "weight": 1.0}), points(), SIGMAS)
        with count_forwards(model) as core_count:
            core = guided(cfg(model, C, U, 1.0), points(), SIGMAS)
        assert all(map(torch.equal, ours, core))
        assert ours_count.chunks == core_count.chunks

    @pytest.mark.parametrize("name", HOOKS)
    def test_sees_the_base_twice_at_weight_0(self, pack: Any, name: str) -> None:
        """At weight 1, as CFG between equals. Hooks that ask for both sides get the real pair, as under CFGGuider."""
        model = hooked(pack, micro_model(), [name])
        with count_forwards(model) as count:
            ours = guided(gcfg(pack, model, U, {"positive": C, "weight": 0.0}), points(), SIGMAS)
        if model.model_options.get("disable_cfg1_optimization"):
            assert all(map(torch.equal, ours, guided(cfg(model, C, U, 0.0), points(), SIGMAS)))
            return
        twice = model.clone()
        twice.model_options["disable_cfg1_optimization"] = True  # at scale 1 core gives hooks zeros else
        with count_forwards(twice) as core_count:
            core = guided(cfg(twice, U, U, 1.0), points(), SIGMAS)
        assert relative_error(ours, core) <= LIMIT
        assert count.chunks == core_count.chunks - len(SIGMAS)

    @pytest.mark.parametrize("name", ["PAG", "SAG", "APG"])
    def test_equals_cfg_guider_on_a_bigger_network(self, pack: Any, name: str) -> None:
        model, (cond, uncond) = hooked(pack, micro_model(unet=DEEP), [name]), (micro_cond(i) for i in range(2))
        sigmas = (3.0, 1.0)  # falling, since APG's node forgets its running average when sigma rises
        ours = guided(gcfg(pack, model, uncond, {"positive": cond, "weight": WEIGHT}), points(sigmas, size=16), sigmas)
        core = guided(cfg(model, cond, uncond, WEIGHT), points(sigmas, size=16), sigmas)
        assert all(map(torch.equal, ours, core))
        plain = guided(cfg(micro_model(unet=DEEP), cond, uncond, WEIGHT), points(sigmas, size=16), sigmas)
        assert relative_error(core, plain) > 1e-3


class TestSeveralTerms:
    """Primary pair (C, U) at WEIGHT; another model under D at 1.7; the base under E at -0.5."""

    @staticmethod
    def terms(other: Any) -> list[dict[str, Any]]:
        return [
            {"model": other, "positive": D, "weight": 1.7},
            {"positive": C, "weight": WEIGHT},
            {"positive": E, "weight": -0.5},
        ]

    @staticmethod
    def others(x: Tensor, sigma: float) -> Tensor:
        """What the terms beside the primary add, asked of unhooked models alone."""
        zero = denoised(micro_model(0), U, x, sigma)
        side = denoised(micro_model(5), D, x, sigma)
        return 1.7 * (side - zero) - 0.5 * (denoised(micro_model(0), E, x, sigma) - zero)

    def ours(self, pack: Any, names: Sequence[str]) -> list[Tensor]:
        model = hooked(pack, micro_model(0), names)
        return guided(gcfg(pack, model, U, *self.terms(micro_model(5))), points(), SIGMAS)

    @pytest.mark.parametrize("name", ["RescaleCFG", "APG", "TCFG"])
    def test_pair_hooks_act_on_the_primary_pair(self, pack: Any, name: str) -> None:
        pair = guided(cfg(hooked(pack, micro_model(0), [name]), C, U, WEIGHT), points(), SIGMAS)
        expected = [one + self.others(x, s) for one, x, s in zip(pair, points(), SIGMAS, strict=True)]
        assert relative_error(self.ours(pack, [name]), expected) <= LIMIT

    @pytest.mark.parametrize("name", ["PAG", "SAG", "CFGZeroStar"])
    def test_post_hooks_that_add_are_added_to_the_total(self, pack: Any, name: str) -> None:
        plain = guided(cfg(micro_model(0), C, U, WEIGHT), points(), SIGMAS)
        core = guided(cfg(hooked(pack, micro_model(0), [name]), C, U, WEIGHT), points(), SIGMAS)
        expected = [one + self.others(x, s) for one, x, s in zip(core, points(), SIGMAS, strict=True)]
        assert relative_error(core, plain) > 1e-3
        assert relative_error(self.ours(pack, [name]), expected) <= LIMIT

    @pytest.mark.parametrize("name", ["Mahiro", "Epsilon Scaling"])
    def test_post_hooks_are_given_the_total_and_the_real_pair(self, pack: Any, name: str) -> None:
        (function,) = hooked(pack, micro_model(0), [name]).model_options["sampler_post_cfg_function"]
        expected = []
        for x, s in zip(points(), SIGMAS, strict=True):
            cond, uncond = denoised(micro_model(0), C, x, s), denoised(micro_model(0), U, x, s)
            total = uncond + (cond - uncond) * WEIGHT + self.others(x, s)
            seen = {"denoised": total, "cond_denoised": cond, "uncond_denoised": uncond, "cond_scale": WEIGHT}
            expected.append(function({**seen, "input": x, "sigma": torch.full([1], s)}))
        assert relative_error(self.ours(pack, [name]), expected) <= LIMIT

    @pytest.mark.parametrize("primary", [[], [{"positive": C, "weight": 0.0}]], ids=["none", "at weight 0"])
    def test_hooks_see_the_base_twice_where_no_primary_acts(self, pack: Any, primary: list) -> None:
        seen, model = [], micro_model(0)
        model.set_model_sampler_post_cfg_function(lambda args: seen.append(args) or args["denoised"])
        terms = [{"model": micro_model(5), "positive": D, "weight": 2.0}, *primary]
        guided(gcfg(pack, model, U, *terms), points(), SIGMAS)
        for args, x, s in zip(seen, points(), SIGMAS, strict=True):
            assert torch.equal(args["cond_denoised"], denoised(micro_model(0), U, x, s))
            assert torch.equal(args["uncond_denoised"], args["cond_denoised"])
            assert args["cond_scale"] == 1.0

    def test_on_a_terms_model_they_are_named_in_the_log(self, pack: Any, caplog: pytest.LogCaptureFixture) -> None:
        other = hooked(pack, micro_model(5), ["PAG", "APG", "RescaleCFG"])
        with caplog.at_level(logging.WARNING):
            guider = gcfg(pack, micro_model(0), U, {"model": other, "positive": D, "label": "sharp"})
        said = " ".join(record.getMessage() for record in caplog.records)
        for name in ("sampler_pre_cfg_function", "sampler_cfg_function", "sampler_post_cfg_function", "not applied"):
            assert name in said
        plain = gcfg(pack, micro_model(0), U, {"model": micro_model(5), "positive": D, "label": "sharp"})
        assert all(map(torch.equal, guided(guider, points(), SIGMAS), guided(plain, points(), SIGMAS)))


def test_cfg_pp_gets_the_true_base_prediction(pack: Any) -> None:
    """euler_cfg_pp: x <- D + sigma_next * (x - D_base) / sigma, written out."""
    terms = [{"model": micro_model(5), "positive": D, "weight": 1.7}, {"positive": C, "weight": WEIGHT}]
    sigmas = torch.tensor([9.0, 3.0, 0.4])
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    ours = gcfg(pack, micro_model(0), U, *terms).sample(
        x, torch.zeros_like(x), comfy.samplers.sampler_object("euler_cfg_pp"), sigmas, disable_pbar=True, seed=0
    )
    x = micro_model(0).model.model_sampling.noise_scaling(sigmas[0], x, torch.zeros_like(x))
    for sigma, following in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        zero = denoised(micro_model(0), U, x, sigma)
        total = zero + WEIGHT * (denoised(micro_model(0), C, x, sigma) - zero)
        total = total + 1.7 * (denoised(micro_model(5), D, x, sigma) - zero)
        x = total + (x - zero) / sigma * following
    expected = micro_model(0).model.process_latent_out(x)
    assert relative_error([ours], [expected]) <= LIMIT
