"""What other packs may count on: GCFG's guider behaves as CFGGuider does."""

import copy
from typing import Any

import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.mixed_graph import MixedGraph
from rigs.probe import guided, sampled

C, U = micro_cond(1), micro_cond(4)


@pytest.fixture
def setting(pack: Any) -> MixedGraph:
    return MixedGraph(pack)


def run(guider: Any, seed: int = 0, **options: Any) -> Tensor:
    return sampled(guider, micro_latent(seed)["samples"], seed=seed, **options)


def test_works_in_sampler_custom_advanced(pack: Any, setting: MixedGraph) -> None:
    (noise,) = pack.run("RandomNoise", noise_seed=0)
    (sampler,) = pack.run("KSamplerSelect", sampler_name="euler")
    (sigmas,) = pack.run("BasicScheduler", model=setting.base, scheduler="normal", steps=3, denoise=1.0)
    out, x0 = pack.run(
        "SamplerCustomAdvanced", noise=noise, guider=setting.guider, sampler=sampler, sigmas=sigmas,
        latent_image=micro_latent(0),
    )  # fmt: skip
    assert torch.equal(out["samples"], run(setting.guider))
    assert torch.isfinite(x0["samples"]).all()


def test_sampling_twice_is_identical(setting: MixedGraph) -> None:
    first = run(setting.guider)
    assert torch.equal(first, run(setting.guider))
    assert not torch.equal(first, run(setting.guider, seed=1))
    assert torch.equal(first, run(setting.guider))


def test_survives_copy(setting: MixedGraph) -> None:
    expected = run(setting.guider)
    duplicate = copy.copy(setting.guider)
    assert torch.equal(run(duplicate), expected)
    duplicate.model_patcher = setting.base.clone()
    assert torch.equal(run(duplicate), expected)
    assert torch.equal(run(setting.guider), expected)


class Proxy:
    """As some packs wrap a guider: everything it lacks is asked of the guider."""

    def __init__(self, guider: Any) -> None:
        self._guider = guider

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guider, name)


class ReplacingProxy(Proxy):
    """Also puts a model of its own into the guider while it samples."""

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        kept = self._guider.model_patcher
        self._guider.model_patcher = kept.clone()
        try:
            return self._guider.sample(*args, **kwargs)
        finally:
            self._guider.model_patcher = kept


@pytest.mark.parametrize("proxy", [Proxy, ReplacingProxy])
def test_survives_a_proxy(setting: MixedGraph, proxy: type) -> None:
    expected = run(setting.guider)
    assert torch.equal(run(proxy(setting.guider)), expected)
    assert setting.guider.model_patcher is setting.base


def test_replaced_model_is_the_base(pack: Any) -> None:
    guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0}, {"model": micro_model(5), "weight": 2.0})
    guider.model_patcher = with_lora(micro_model(0), 1)
    expected = gcfg(
        pack, guider.model_patcher, U, {"positive": C, "weight": 3.0}, {"model": micro_model(5), "weight": 2.0}
    )
    assert torch.equal(run(guider), run(expected))


def test_samplers_find_what_cfg_guider_has(setting: MixedGraph) -> None:
    seen = {}

    def sampler(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict, callback: Any, disable: Any) -> Tensor:
        guider = model.inner_model
        seen.update(conds=set(guider.conds), model=guider.inner_model, cfg=guider.cfg, options=guider.model_options)
        seen["model_sampling"] = guider.model_patcher.get_model_object("model_sampling")
        seen["sample_sigmas"] = extra_args["model_options"]["transformer_options"]["sample_sigmas"]
        return model(x, sigmas[:1].expand(x.shape[0]), **extra_args)

    x = points()[0]
    setting.guider.sample(x, x, comfy.samplers.KSAMPLER(sampler), torch.tensor([*SIGMAS, 0.0]), disable_pbar=True)
    assert seen["conds"] == {"positive", "negative"}
    assert seen["model"] is setting.base.model
    assert seen["model_sampling"] is setting.base.model.model_sampling
    assert seen["sample_sigmas"].tolist() == torch.tensor([*SIGMAS, 0.0]).tolist()


def test_callback_sees_every_step(setting: MixedGraph) -> None:
    seen = []
    out = run(setting.guider, callback=lambda step, x0, x, total: seen.append((step, total, x0.shape)))
    assert seen == [(step, 3, out.shape) for step in range(3)]


def test_noise_mask_with_several_models(pack: Any, setting: MixedGraph) -> None:
    """Where the mask is 0 the latent stays; where it is 1 sampling goes on, on every model."""
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1.0
    out = run(setting.guider, denoise_mask=mask)
    latent = micro_latent(0)["samples"]
    assert relative_error([out[..., 4:]], [latent[..., 4:]]) < 1e-4
    assert relative_error([out[..., :4]], [latent[..., :4]]) > 0.1
    one_term = gcfg(pack, setting.base, U, {"positive": C, "weight": 3.0})
    core = cfg(setting.base, C, U, 3.0)
    assert torch.equal(run(one_term, denoise_mask=mask), run(core, denoise_mask=mask))


def test_empty_schedule_returns_the_latent(setting: MixedGraph) -> None:
    latent = micro_latent(0)["samples"]
    sampler = comfy.samplers.sampler_object("euler")
    assert torch.equal(setting.guider.sample(latent, latent, sampler, torch.tensor([])), latent)


def test_base_side_of_a_clone_is_one_model(pack: Any) -> None:
    """Clones that predict alike are one model: no second forward, whatever their patch objects."""
    model = pack.run("RescaleCFG", model=micro_model(0), multiplier=0.7)[0]
    guider = gcfg(pack, model, U, {"model": model.clone(), "positive": C, "weight": 3.0})
    assert len(guider.plan.models) == 1
    ours, core = guided(guider, points(), SIGMAS), guided(cfg(model, C, U, 3.0), points(), SIGMAS)
    assert all(map(torch.equal, ours, core))
