"""GCFG Sampler behaves as KSampler does, and GCFG Guider works wherever core takes a GUIDER."""

from typing import Any

import comfy.model_management
import comfy.utils
import pytest
import torch

from rigs.endings import interrupt
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.progress import progress_hook
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

STEPS, CFG, SEED = 4, 3.5, 77
pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times


@pytest.fixture(scope="module")
def model() -> Any:
    return micro_model(0)


def both(
    pack: Any, model: Any, latent: dict, conds: tuple = (), sampler: str = "euler", scheduler: str = "normal",
    denoise: float = 1.0, cfg: float = CFG, seed: int = SEED,
) -> tuple[dict, dict]:  # fmt: skip
    """(ours, core's) LATENT of the same job."""
    positive, negative = conds or (micro_cond(1), micro_cond(2))
    shared = {"model": model, "latent_image": latent, "seed": seed, "steps": STEPS, "sampler_name": sampler,
              "scheduler": scheduler, "denoise": denoise}  # fmt: skip
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=positive, weight=cfg)
    ours, _ = pack.run("GCFG_Sampler", conditioning=negative, terms=terms, **shared)
    (core,) = pack.run("KSampler", positive=positive, negative=negative, cfg=cfg, **shared)
    return ours, core


def assert_same(ours: dict, core: dict) -> None:
    """Equal to the bit, with the same further entries."""
    assert torch.equal(ours["samples"], core["samples"])
    assert ours["samples"].dtype == core["samples"].dtype
    assert ours["samples"].device == core["samples"].device
    assert ours.keys() == core.keys()
    assert all(ours[key] is core[key] for key in ours if key != "samples")


class TestEqualsKSampler:
    @pytest.mark.parametrize("denoise", [1.0, 0.6, 0.3, 0.0])
    @pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m_sde", "uni_pc", "dpm_2"])
    def test_denoise(self, pack: Any, model: Any, sampler: str, denoise: float) -> None:
        assert_same(*both(pack, model, micro_latent(0), sampler=sampler, denoise=denoise))

    @pytest.mark.parametrize("sampler", ["euler", "heun", "euler_ancestral", "uni_pc", "lcm"])
    @pytest.mark.parametrize("size", [8, 64])
    def test_noise_mask(self, pack: Any, model: Any, sampler: str, size: int) -> None:
        mask = torch.zeros(1, 1, size, size)
        mask[..., : size // 2] = 1.0
        ours, core = both(pack, model, micro_latent(0, batch=2) | {"noise_mask": mask}, sampler=sampler, denoise=0.8)
        assert_same(ours, core)
        if sampler != "uni_pc":  # which does not sample down to sigma 0
            kept = micro_latent(0, batch=2)["samples"][..., 5:]
            assert torch.allclose(ours["samples"][..., 5:], kept, atol=1e-5)  # what the mask protects

    @pytest.mark.parametrize("batch", [1, 2, 5])
    def test_batches(self, pack: Any, model: Any, batch: int) -> None:
        assert_same(*both(pack, model, micro_latent(0, batch=batch)))

    @pytest.mark.parametrize("indices", [[3], [0, 2], [4, 4, 1]])
    def test_batch_index(self, pack: Any, model: Any, indices: list) -> None:
        ours, core = both(pack, model, micro_latent(0, batch=len(indices)) | {"batch_index": indices})
        assert_same(ours, core)
        other, _ = both(pack, model, micro_latent(0, batch=len(indices)))
        assert not torch.equal(ours["samples"], other["samples"])

    def test_further_entries_of_the_latent_stay(self, pack: Any, model: Any) -> None:
        latent = micro_latent(0) | {"foreign": object(), "batch_index": [0]}
        before = dict(latent)
        assert_same(*both(pack, model, latent))
        assert latent == before  # the input is not written to

    def test_an_empty_latent_of_other_channels(self, pack: Any) -> None:
        model, conds = load_tiny("sd3"), (tiny_cond("sd3", 1), tiny_cond("sd3", 2))
        assert_same(*both(pack, model, {"samples": torch.zeros(1, 4, 8, 8)}, conds, scheduler="simple"))

    @pytest.mark.parametrize("kind", ["sd2v", "sd3", "wan"])
    def test_real_loaders(self, pack: Any, kind: str) -> None:
        conds = tiny_cond(kind, 1), tiny_cond(kind, 2)
        assert_same(*both(pack, load_tiny(kind), tiny_latent(kind, size=8), conds, scheduler="simple", denoise=0.7))

    @pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
    def test_seeds(self, pack: Any, model: Any, seed: int) -> None:
        assert_same(*both(pack, model, micro_latent(0), seed=seed, sampler="euler_ancestral"))

    @pytest.mark.parametrize("cfg", [1.0, 0.5, 12.0])
    def test_weights(self, pack: Any, model: Any, cfg: float) -> None:
        assert_same(*both(pack, model, micro_latent(0), cfg=cfg, sampler="dpmpp_2m_cfg_pp"))

    def test_conditioning_areas_masks_and_ranges(self, pack: Any, model: Any) -> None:
        """Where they leave nothing out; see test_coverage.py for the rest."""
        mask = torch.zeros(1, 64, 64)
        mask[:, :32] = 1.0
        (left,) = pack.run("ConditioningSetMask", conditioning=micro_cond(1), mask=mask, strength=0.8)
        (right,) = pack.run("ConditioningSetMask", conditioning=micro_cond(6), mask=1 - mask, strength=0.5)
        (area,) = pack.run("ConditioningSetAreaPercentage", conditioning=micro_cond(3), width=0.5, height=0.5, x=0.5,
                           y=0.0, strength=1.0)  # fmt: skip
        (late,) = pack.run("ConditioningSetTimestepRange", conditioning=micro_cond(4), start=0.3, end=1.0)
        for positive in (left + right, left + micro_cond(5), area + micro_cond(5), late + micro_cond(5)):
            assert_same(*both(pack, model, micro_latent(0, size=16), (positive, micro_cond(2))))


class TestProgress:
    def test_reports_the_steps_that_ksampler_reports(self, pack: Any, model: Any) -> None:
        events: list = []
        with progress_hook(lambda value, total, *rest, **named: events.append((value, total))):
            both(pack, model, micro_latent(0), denoise=0.5)
        half = len(events) // 2
        assert events[:half] == events[half:]
        assert (events[0], events[half - 1]) == ((1, STEPS), (STEPS, STEPS))

    def test_an_interrupt_stops_it_and_leaves_the_model_usable(self, pack: Any, model: Any) -> None:
        latent, (terms,) = micro_latent(0), pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), model=micro_model(1))
        job = {"model": model, "conditioning": micro_cond(2), "terms": terms, "latent_image": latent, "steps": 6}
        before = pack.run("GCFG_Sampler", **job)[0]["samples"]
        seen: list = []

        def cancel(value: int, total: int, *rest: Any, **named: Any) -> None:
            seen.append(value)
            interrupt()

        with progress_hook(cancel), pytest.raises(comfy.model_management.InterruptProcessingException):
            pack.run("GCFG_Sampler", **job)
        assert seen == [1]
        assert torch.equal(pack.run("GCFG_Sampler", **job)[0]["samples"], before)


class TestGuiderInCustomSampling:
    def custom(self, pack: Any, guider: Any, latent: dict, sigmas: torch.Tensor, noise: Any) -> dict:
        (sampler,) = pack.run("KSamplerSelect", sampler_name="dpmpp_2m")
        return pack.run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas,
                        latent_image=latent)[0]  # fmt: skip

    @pytest.fixture
    def guiders(self, pack: Any, model: Any) -> tuple:
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=CFG)
        ours, _ = pack.run("GCFG_Guider", model=model, conditioning=micro_cond(2), terms=terms)
        (core,) = pack.run("CFGGuider", model=model, positive=micro_cond(1), negative=micro_cond(2), cfg=CFG)
        return ours, core

    def test_sampler_custom_advanced(self, pack: Any, model: Any, guiders: tuple) -> None:
        (sigmas,) = pack.run("BasicScheduler", model=model, scheduler="karras", steps=STEPS, denoise=0.7)
        (noise,) = pack.run("RandomNoise", noise_seed=5)
        latent = micro_latent(0, batch=2) | {"noise_mask": torch.rand(1, 1, 64, 64)}
        ours, core = (self.custom(pack, guider, latent, sigmas, noise) for guider in guiders)
        assert_same(ours, core)

    def test_two_stages_like_ksampler_advanced(self, pack: Any, model: Any, guiders: tuple) -> None:
        (sigmas,) = pack.run("BasicScheduler", model=model, scheduler="normal", steps=6, denoise=1.0)
        high, low = pack.run("SplitSigmas", sigmas=sigmas, step=3)
        (noise,) = pack.run("RandomNoise", noise_seed=5)
        (none,) = pack.run("DisableNoise")
        results = []
        for guider in guiders:
            half = self.custom(pack, guider, micro_latent(0), high, noise)
            results.append(self.custom(pack, guider, half, low, none))
        assert_same(*results)
        shared = {"model": model, "positive": micro_cond(1), "negative": micro_cond(2), "cfg": CFG, "noise_seed": 5,
                  "sampler_name": "dpmpp_2m", "scheduler": "normal", "steps": 6}  # fmt: skip
        (half,) = pack.run("KSamplerAdvanced", latent_image=micro_latent(0), add_noise="enable", start_at_step=0,
                           end_at_step=3, return_with_leftover_noise="enable", **shared)  # fmt: skip
        (full,) = pack.run("KSamplerAdvanced", latent_image=half, add_noise="disable", start_at_step=3, end_at_step=6,
                           return_with_leftover_noise="disable", **shared)  # fmt: skip
        assert torch.allclose(results[0]["samples"], full["samples"], atol=1e-5)


def test_the_trace_is_of_this_run(pack: Any, model: Any) -> None:
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=2.0, label="control")
    job = {"model": model, "conditioning": micro_cond(2), "terms": terms, "latent_image": micro_latent(0, batch=2)}
    _, trace = pack.run("GCFG_Sampler", **job, steps=3, sampler_name="euler")
    _, again = pack.run("GCFG_Sampler", **job, steps=5, sampler_name="euler")
    assert (len(trace.records), len(again.records)) == (3, 5)
    assert trace.terms == ("control",)
    assert all(len(record.sizes[0]) == 2 and min(record.sizes[0]) > 0 for record in trace.records)
    assert all(record.evaluations == (2,) and record.seconds > 0 for record in trace.records)
    assert [record.sigma for record in trace.records] == sorted((r.sigma for r in trace.records), reverse=True)
