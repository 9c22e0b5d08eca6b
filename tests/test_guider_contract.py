"""What other packs may count on: GCFG's guider behaves as CFGGuider, and leaves every model as it found it."""

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import guided

C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))
CPU = torch.device("cpu")


class Setting:
    """A graph of every kind of branch: the base twice, a LoRA clone of it, another model and its clone."""

    def __init__(self, pack: Any) -> None:
        self.base, self.other = micro_model(0), micro_model(5)
        self.lora, self.clone = with_lora(self.base, 1), with_lora(self.other, 2)
        self.clone = pack.run("ModelSamplingDiscrete", model=self.clone, sampling="lcm")[0]
        self.models = [self.base, self.other, self.lora, self.clone]
        self.terms = [
            {"positive": C, "weight": 3.0},
            {"positive": D, "weight": -0.5},
            {"model": self.lora, "positive": C, "weight": 1.5},
            {"model": self.other, "weight": 2.0},
            {"model": self.clone, "positive": E, "reference_model": self.other, "weight": 0.7},
        ]
        self.guider = gcfg(pack, self.base, U, *self.terms)


@pytest.fixture
def setting(pack: Any) -> Setting:
    return Setting(pack)


def run(guider: Any, seed: int = 0, steps: int = 3, **options: Any) -> Tensor:
    sigmas = comfy.samplers.KSampler(guider.model_patcher, steps, CPU, "euler", "normal", 1.0).sigmas
    latent = micro_latent(seed)["samples"]
    noise = comfy.sample.prepare_noise(latent, seed)
    sampler = comfy.samplers.sampler_object("euler")
    return guider.sample(noise, latent, sampler, sigmas, **{"disable_pbar": True, "seed": seed, **options})


def test_works_in_sampler_custom_advanced(pack: Any, setting: Setting) -> None:
    (noise,) = pack.run("RandomNoise", noise_seed=0)
    (sampler,) = pack.run("KSamplerSelect", sampler_name="euler")
    (sigmas,) = pack.run("BasicScheduler", model=setting.base, scheduler="normal", steps=3, denoise=1.0)
    out, x0 = pack.run(
        "SamplerCustomAdvanced", noise=noise, guider=setting.guider, sampler=sampler, sigmas=sigmas,
        latent_image=micro_latent(0),
    )  # fmt: skip
    assert torch.equal(out["samples"], run(setting.guider))
    assert torch.isfinite(x0["samples"]).all()


def test_sampling_twice_is_identical(setting: Setting) -> None:
    first = run(setting.guider)
    assert torch.equal(first, run(setting.guider))
    assert not torch.equal(first, run(setting.guider, seed=1))
    assert torch.equal(first, run(setting.guider))


def test_survives_copy(setting: Setting) -> None:
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
def test_survives_a_proxy(setting: Setting, proxy: type) -> None:
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


def test_cfg_is_the_primary_weight(pack: Any) -> None:
    terms = [{"model": micro_model(5), "weight": 2.0}, {"positive": C, "weight": 3.0}]
    guider = gcfg(pack, micro_model(0), U, *terms)
    assert guider.cfg == 3.0
    guider.set_cfg(4.5)
    assert torch.equal(run(guider), run(gcfg(pack, micro_model(0), U, terms[0], {"positive": C, "weight": 4.5})))
    assert gcfg(pack, micro_model(0), U, terms[0]).cfg == 1.0


def test_samplers_find_what_cfg_guider_has(setting: Setting) -> None:
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


# Nothing is left behind ----------------------------------------------------------------------------------------------

PLAIN = ("patches", "backup", "object_patches", "object_patches_backup", "hook_patches", "hook_backup", "injections",
         "current_hooks", "cached_hook_patches", "additional_models", "callbacks", "attachments")  # fmt: skip


def snapshot(value: Any) -> Any:
    """A copy of nested containers, with leaves by identity."""
    if isinstance(value, dict):
        return {key: snapshot(one) for key, one in value.items() if one not in ({}, [])}
    if isinstance(value, (list, tuple)):
        return [snapshot(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)


def traits(patcher: Any) -> dict[str, Any]:
    found = {name: snapshot(getattr(patcher, name)) for name in (*PLAIN, "model_options", "wrappers")}
    network = {"parameters": {name: id(one) for name, one in patcher.model.named_parameters()}}
    network |= {"sampling": id(patcher.model.model_sampling), "current": patcher.model.current_patcher}
    functions = [name for name, m in patcher.model.named_modules() if m.__dict__.get("weight_function")]
    return {**found, **network, "functions": functions, "mode": patcher.hook_mode, "uuid": patcher.patches_uuid}


def on_call(number: int, action: Callable[[], None]) -> Callable:
    calls: list[int] = []

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> tuple:
        calls.append(1)
        if len(calls) == number:
            action()
        return q, k, v

    return patch


def fail() -> None:
    raise RuntimeError("on purpose")


def interrupt() -> None:
    """The user's Cancel, found at once; older hosts look for it between steps only."""
    comfy.model_management.interrupt_current_processing()
    comfy.model_management.throw_exception_if_processing_interrupted()


ENDINGS: dict[str, tuple[Callable[[], None], type[BaseException] | None]] = {
    "success": (lambda: None, None),
    "error": (fail, RuntimeError),
    "interrupt": (interrupt, comfy.model_management.InterruptProcessingException),
}


@pytest.mark.parametrize("where", ["base", "other", "lora", "clone"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_leaves_every_patcher_as_it_was(pack: Any, setting: Setting, ending: str, where: str) -> None:
    action, error = ENDINGS[ending]
    weights = [{name: value.clone() for name, value in m.model.state_dict().items()} for m in setting.models]
    getattr(setting, where).set_model_attn2_patch(on_call(3, action))
    for model in (setting.base, setting.other):  # as ComfyUI itself leaves a model that it has sampled with
        guided(cfg(model, E, U, 1.0), points(SIGMAS[:1]), SIGMAS[:1])
    guider = gcfg(pack, setting.base, U, *setting.terms)
    before = [traits(model) for model in setting.models]
    own = set(guider.__dict__)
    if error is None:
        run(guider)
    else:
        with pytest.raises(error):
            run(guider)
    assert [traits(model) for model in setting.models] == before
    for model, state in zip(setting.models, weights, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in model.model.state_dict().items())
    assert guider.model_patcher is setting.base
    assert guider.model_options is setting.base.model_options
    assert set(guider.__dict__) == own
    fresh = Setting(pack)
    assert relative_error([run(fresh.guider)], [run(setting.guider)]) == 0.0


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_clone_survives_a_run(pack: Any, setting: Setting, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    action, error = ENDINGS[ending]
    run(setting.guider)
    setting.other.set_model_attn2_patch(on_call(3, action))
    guider = gcfg(pack, setting.base, U, *setting.terms)
    clone, clones = comfy.model_patcher.ModelPatcher.clone, []

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = clone(self, *args, **kwargs)
        clones.append(weakref.ref(made))
        return made

    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "clone", watched)
    try:
        run(guider)
        assert error is None
    except BaseException as raised:
        assert error is not None and isinstance(raised, error)
    assert clones
    gc.collect()
    assert not [one for one in clones if one() is not None]
    assert {m.model for m in comfy.model_management.loaded_models()} >= {setting.base.model, setting.other.model}


def test_clones_go_without_the_garbage_collector(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, clones = comfy.model_patcher.ModelPatcher.clone, []
    monkeypatch.setattr(
        comfy.model_patcher.ModelPatcher, "clone", lambda self: clones.append(weakref.ref(m := clone(self))) or m
    )
    gc.collect()
    gc.disable()
    try:
        run(setting.guider)
        assert len(clones) >= 4
        assert not [one for one in clones if one() is not None]
    finally:
        gc.enable()


# As under CFGGuider --------------------------------------------------------------------------------------------------


def test_callback_sees_every_step(setting: Setting) -> None:
    seen = []
    out = run(setting.guider, callback=lambda step, x0, x, total: seen.append((step, total, x0.shape)))
    assert seen == [(step, 3, out.shape) for step in range(3)]


def test_noise_mask_with_several_models(pack: Any, setting: Setting) -> None:
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


def test_empty_schedule_returns_the_latent(setting: Setting) -> None:
    latent = micro_latent(0)["samples"]
    sampler = comfy.samplers.sampler_object("euler")
    assert torch.equal(setting.guider.sample(latent, latent, sampler, torch.tensor([])), latent)


def test_nested_latents_are_refused(setting: Setting) -> None:
    nested = pytest.importorskip("comfy.nested_tensor").NestedTensor([micro_latent(0)["samples"]] * 2)
    with pytest.raises(ValueError, match="latent_image"):
        setting.guider.sample(nested, nested, comfy.samplers.sampler_object("euler"), torch.tensor([1.0, 0.0]))


def test_base_side_of_a_clone_is_one_model(pack: Any) -> None:
    """Clones that predict alike are one model: no second forward, whatever their patch objects."""
    model = pack.run("RescaleCFG", model=micro_model(0), multiplier=0.7)[0]
    guider = gcfg(pack, model, U, {"model": model.clone(), "positive": C, "weight": 3.0})
    assert len(guider.plan.models) == 1
    ours, core = guided(guider, points(), SIGMAS), guided(cfg(model, C, U, 3.0), points(), SIGMAS)
    assert all(map(torch.equal, ours, core))
