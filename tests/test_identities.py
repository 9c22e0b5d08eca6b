"""Graphs that must equal what ComfyUI itself computes: to the bit where the arithmetic is the same."""

import comfy.sample
import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import guided
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

SAMPLERS = list(comfy.samplers.KSampler.SAMPLERS)
SCHEDULERS = list(comfy.samplers.KSampler.SCHEDULERS)
STEPS = 4
pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def setting() -> tuple:
    return micro_model(0), micro_cond(1), micro_cond(2), micro_latent(3)


def sample(guider: comfy.samplers.CFGGuider, latent: dict, sampler: str, scheduler: str) -> Tensor:
    """A whole run with noise and global randomness of its own."""
    sigmas = comfy.samplers.KSampler(guider.model_patcher, STEPS, CPU, sampler, scheduler, 1.0).sigmas
    noise = comfy.sample.prepare_noise(latent["samples"], 11)
    torch.manual_seed(5)
    return guider.sample(
        noise, torch.zeros_like(noise), comfy.samplers.sampler_object(sampler), sigmas, disable_pbar=True, seed=11
    )


def cfg_guider(model: object, positive: list, negative: list, cfg: float) -> comfy.samplers.CFGGuider:
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    return guider


def gcfg(pack: object, model: object, base: list, *terms: dict, **options: float) -> comfy.samplers.CFGGuider:
    """Our guider with a chain of terms, each given by its Guidance Term inputs and, under 'modify', its modifiers."""
    chain: dict = {}
    for term in terms:
        (out,) = pack.run("GCFG_GuidanceTerm", **chain, **{k: v for k, v in term.items() if k != "modify"})
        if "modify" in term:
            (out,) = pack.run("GCFG_ModifyTerm", terms=out, **term["modify"])
        chain = {"terms": out}
    return pack.run("GCFG_Guider", model=model, conditioning=base, **chain, **options)[0]


def points(count: int = 3, batch: int = 1) -> tuple[list[Tensor], list[float]]:
    generator = torch.Generator().manual_seed(7)
    sigmas = [9.0, 3.0, 0.4][:count]
    return [torch.randn(batch, 4, 8, 8, generator=generator) * (s * s + 1) ** 0.5 for s in sigmas], sigmas


def assert_close(ours: list[Tensor], core: list[Tensor], limit: float = 1e-6) -> None:
    """Per prediction: relative error in the L2 norm."""
    for one, other in zip(ours, core, strict=True):
        assert (one - other).norm() <= limit * other.norm()


class TestOneTerm:
    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_is_cfg_for_every_sampler_and_scheduler(
        self, pack: object, setting: tuple, sampler: str, scheduler: str
    ) -> None:
        model, positive, negative, latent = setting
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 3.5}), latent, sampler, scheduler)
        core = sample(cfg_guider(model, positive, negative, 3.5), latent, sampler, scheduler)
        assert torch.equal(ours, core)
        assert torch.isfinite(ours).all()

    @pytest.mark.parametrize("weight", [1.0, -2.0, 0.5, 7.5])
    @pytest.mark.parametrize("sampler", ["euler", "euler_cfg_pp", "heun"])
    def test_is_cfg_at_every_weight(self, pack: object, setting: tuple, sampler: str, weight: float) -> None:
        model, positive, negative, latent = setting
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": weight}), latent, sampler, "normal")
        core = sample(cfg_guider(model, positive, negative, weight), latent, sampler, "normal")
        assert torch.equal(ours, core)

    @pytest.mark.parametrize(
        ("kind", "sampler"),
        [*((kind, "dpmpp_2m") for kind in ("sd15", "sd2v", "sdxl", "sd3", "wan")), ("sd15", "heun"),
         ("sd15", "euler_cfg_pp"), ("sd3", "euler_cfg_pp"), ("wan", "euler"), ("wan", "euler_cfg_pp")],
    )  # fmt: skip
    def test_is_cfg_on_models_from_the_real_loaders(self, pack: object, kind: str, sampler: str) -> None:
        model, latent = load_tiny(kind), tiny_latent(kind, size=8)
        positive, negative = tiny_cond(kind, 1), tiny_cond(kind, 2)
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 4.0}), latent, sampler, "simple")
        core = sample(cfg_guider(model, positive, negative, 4.0), latent, sampler, "simple")
        assert torch.equal(ours, core)

    @pytest.mark.parametrize("prediction", ["eps", "v"])
    def test_is_cfg_on_batches_and_long_prompts(self, pack: object, prediction: str) -> None:
        model, latent = micro_model(1, prediction), micro_latent(3, batch=3)
        positive, negative = micro_cond(1, tokens=8), micro_cond(2)
        ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 4.0}), latent, "heun", "karras")
        core = sample(cfg_guider(model, positive, negative, 4.0), latent, "heun", "karras")
        assert torch.equal(ours, core)

    def test_negative_prompt_as_a_term_is_composition(self, pack: object, setting: tuple) -> None:
        """base + w (positive - base) - v (negative - base)."""
        model, positive, negative, _ = setting
        empty, (xs, sigmas) = micro_cond(9), points()
        terms = {"positive": positive, "weight": 3.0}, {"positive": negative, "weight": -1.25}
        ours = guided(gcfg(pack, model, empty, *terms), xs, sigmas)
        one = guided(cfg_guider(model, positive, empty, 3.0), xs, sigmas)
        two = guided(cfg_guider(model, negative, empty, -1.25), xs, sigmas)
        base = guided(cfg_guider(model, empty, empty, 1.0), xs, sigmas)
        assert_close(ours, [a + b - c for a, b, c in zip(one, two, base, strict=True)])


class TestSkippedSides:
    @pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m_sde"])
    def test_evaluates_no_unconditional(self, pack: object, setting: tuple, sampler: str) -> None:
        model, positive, negative, latent = setting
        ours = gcfg(pack, model, negative, {"positive": positive, "weight": 1.0})
        core = cfg_guider(model, positive, negative, 1.0)
        with count_forwards(model) as n:
            one = sample(ours, latent, sampler, "normal")
            count = n.chunks
            n.reset()
            two = sample(core, latent, sampler, "normal")
        assert torch.equal(one, two)
        assert count == n.chunks == n.forwards

    def test_weight_zero_evaluates_the_base_alone(self, pack: object, setting: tuple) -> None:
        """Core evaluates both at scale 0: a batch of two, whose last bits differ from a batch of one."""
        model, positive, negative, latent = setting
        with count_forwards(model) as n:
            ours = sample(gcfg(pack, model, negative, {"positive": positive, "weight": 0.0}), latent, "heun", "normal")
        core = sample(cfg_guider(model, positive, negative, 0.0), latent, "heun", "normal")
        alone = sample(cfg_guider(model, negative, negative, 1.0), latent, "heun", "normal")
        assert n.chunks == 2 * STEPS - 1
        assert torch.equal(ours, alone)
        assert (ours - core).norm() <= 1e-5 * core.norm()

    def test_cfg_pp_samplers_get_the_real_unconditional(self, pack: object, setting: tuple) -> None:
        """Such samplers ask for both sides at any scale (disable_cfg1_optimization), as under CFGGuider."""
        model, positive, negative, latent = setting
        with count_forwards(model) as n:
            sample(gcfg(pack, model, negative, {"positive": positive, "weight": 1.0}), latent, "euler_cfg_pp", "normal")
        assert n.chunks == 2 * STEPS


class TestNoTerms:
    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if "cfg_pp" not in s])
    def test_is_basic_guider(self, pack: object, setting: tuple, sampler: str) -> None:
        model, positive, _, latent = setting
        ours = sample(gcfg(pack, model, positive), latent, sampler, "normal")
        (basic,) = pack.run("BasicGuider", model=model, conditioning=positive)
        assert torch.equal(ours, sample(basic, latent, sampler, "normal"))

    @pytest.mark.parametrize("sampler", [s for s in SAMPLERS if "cfg_pp" in s])
    def test_cfg_pp_samplers_see_the_base_on_both_sides(self, pack: object, setting: tuple, sampler: str) -> None:
        """Core's BasicGuider hands them zeros as the unconditional; we hand them the base, as CFG between equals."""
        model, positive, _, latent = setting
        ours = sample(gcfg(pack, model, positive), latent, sampler, "normal")
        core = sample(cfg_guider(model, positive, positive, 1.0), latent, sampler, "normal")
        assert (ours - core).norm() <= 1e-5 * core.norm()

    def test_evaluates_one_prediction_a_call(self, pack: object, setting: tuple) -> None:
        model, positive, _, latent = setting
        with count_forwards(model) as n:
            sample(gcfg(pack, model, positive), latent, "euler", "normal")
        assert n.chunks == n.forwards == STEPS


class TestSetCfg:
    def test_changes_the_primary_terms_weight(self, pack: object, setting: tuple) -> None:
        model, positive, negative, latent = setting
        guider = gcfg(pack, model, negative, {"positive": positive, "weight": 3.0})
        assert guider.cfg == 3.0
        guider.set_cfg(5.5)
        assert torch.equal(
            sample(guider, latent, "euler", "normal"),
            sample(cfg_guider(model, positive, negative, 5.5), latent, "euler", "normal"),
        )

    def test_leaves_other_terms_alone(self, pack: object, setting: tuple) -> None:
        model, positive, negative, _ = setting
        other, (xs, sigmas) = micro_model(4), points()
        terms = [{"model": other, "weight": 2.0}, {"positive": positive, "weight": 3.0}]
        guider = gcfg(pack, model, negative, *terms)
        guider.set_cfg(-1.5)
        direct = gcfg(pack, model, negative, terms[0], {"positive": positive, "weight": -1.5})
        assert all(map(torch.equal, guided(guider, xs, sigmas), guided(direct, xs, sigmas)))

    def test_weight_one_by_set_cfg_evaluates_no_unconditional(self, pack: object, setting: tuple) -> None:
        model, positive, negative, latent = setting
        guider = gcfg(pack, model, negative, {"positive": positive, "weight": 3.0})
        guider.set_cfg(1.0)
        with count_forwards(model) as n:
            sample(guider, latent, "euler", "normal")
        assert n.chunks == STEPS


class TestCoreGuidersAsGraphs:
    def test_dual_cfg_regular(self, pack: object, setting: tuple) -> None:
        """negative + cfg2 (middle - negative) + cfg1 (positive - middle)."""
        model, first, negative, _ = setting
        second, (xs, sigmas) = micro_cond(4), points(batch=2)
        (core,) = pack.run("DualCFGGuider", model=model, cond1=first, cond2=second, negative=negative,
                           cfg_conds=5.0, cfg_cond2_negative=2.5, style="regular")  # fmt: skip
        ours = gcfg(pack, model, negative, {"positive": second, "weight": 2.5},
                    {"positive": first, "reference": second, "weight": 5.0})  # fmt: skip
        assert_close(guided(ours, xs, sigmas), guided(core, xs, sigmas))

    def test_dual_cfg_nested(self, pack: object, setting: tuple) -> None:
        """negative + cfg2 (middle + cfg1 (positive - middle) - negative): the outer scale multiplies the inner one."""
        model, first, negative, _ = setting
        second, (xs, sigmas) = micro_cond(4), points(batch=2)
        (core,) = pack.run("DualCFGGuider", model=model, cond1=first, cond2=second, negative=negative,
                           cfg_conds=5.0, cfg_cond2_negative=2.5, style="nested")  # fmt: skip
        ours = gcfg(pack, model, negative, {"positive": second, "weight": 2.5},
                    {"positive": first, "reference": second, "weight": 2.5 * 5.0})  # fmt: skip
        assert_close(guided(ours, xs, sigmas), guided(core, xs, sigmas))

    @pytest.mark.parametrize(("scale", "negative_scale"), [(8.0, 1.0), (3.0, 0.4), (1.0, 2.0)])
    def test_perp_neg(self, pack: object, setting: tuple, scale: float, negative_scale: float) -> None:
        """empty + cfg (positive - empty) - cfg * neg_scale * the perpendicular part of (negative - empty)."""
        model, positive, negative, _ = setting
        empty, (xs, sigmas) = micro_cond(4), points()
        (core,) = pack.run("PerpNegGuider", model=model, positive=positive, negative=negative,
                           empty_conditioning=empty, cfg=scale, neg_scale=negative_scale)  # fmt: skip
        ours = gcfg(pack, model, empty, {"positive": positive, "weight": scale},
                    {"positive": negative, "weight": -scale * negative_scale,
                     "modify": {"projection": "primary term"}})  # fmt: skip
        assert_close(guided(ours, xs, sigmas), guided(core, xs, sigmas))

    @pytest.mark.parametrize(("eta", "cap"), [(0.0, 0.0), (0.0, 5.0), (-0.5, 2.0), (1.0, 3.0)])
    def test_apg_node(self, pack: object, setting: tuple, eta: float, cap: float) -> None:
        """Core's APG node (momentum 0): positive + cfg * project(cap(positive - negative))."""
        model, positive, negative, _ = setting
        xs, sigmas = points(batch=2)
        (patched,) = pack.run("APG", model=model, eta=eta, norm_threshold=cap, momentum=0.0)
        core = guided(cfg_guider(patched, positive, negative, 4.0), xs, sigmas)
        term = {"reference": negative, "weight": 4.0,
                "modify": {"projection": "own positive", "parallel": eta, "norm_cap": cap}}  # fmt: skip
        assert_close(guided(gcfg(pack, model, positive, term), xs, sigmas), core, 2e-6)

    @pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
    def test_rescale_cfg_node(self, pack: object, setting: tuple, share: float) -> None:
        model, positive, negative, _ = setting
        xs, sigmas = points(batch=2)
        (patched,) = pack.run("RescaleCFG", model=model, multiplier=share)
        core = guided(cfg_guider(patched, positive, negative, 6.0), xs, sigmas)
        ours = guided(gcfg(pack, model, negative, {"positive": positive, "weight": 6.0}, rescale=share), xs, sigmas)
        assert_close(ours, core, 1e-5)  # the way to v and back loses some bits on both sides

    def test_dual_model_guider(self, pack: object, setting: tuple) -> None:
        """negative on one model, positive on another: base = the negative's model, one term with the other's."""
        import nodes

        if "DualModelGuider" not in nodes.NODE_CLASS_MAPPINGS:
            pytest.skip("this ComfyUI has no DualModelGuider")
        model, positive, negative, _ = setting
        other, (xs, sigmas) = micro_model(6), points(batch=2)
        (core,) = pack.run("DualModelGuider", model=model, model_negative=other, positive=positive, negative=negative,
                           cfg=4.0)  # fmt: skip
        ours = gcfg(pack, other, negative, {"model": model, "positive": positive, "weight": 4.0})
        assert_close(guided(ours, xs, sigmas), guided(core, xs, sigmas))

    def test_autoguidance(self, pack: object, setting: tuple) -> None:
        """bad + w (good - bad) with the good model as base: weight w - 1 on (good - bad)."""
        good, positive, _, _ = setting
        bad, (xs, sigmas) = micro_model(8), points()
        ours = gcfg(pack, good, positive, {"reference_model": bad, "weight": 1.5})
        d_good = guided(cfg_guider(good, positive, positive, 1.0), xs, sigmas)
        d_bad = guided(cfg_guider(bad, positive, positive, 1.0), xs, sigmas)
        assert_close(guided(ours, xs, sigmas), [b + 2.5 * (g - b) for g, b in zip(d_good, d_bad, strict=True)])
