"""ControlNets act on their own condition, keep no state, and are loaded with all models at once."""

from typing import Any

import comfy.model_management
import pytest
import torch
from torch import Tensor

from rigs.controlnet import controlnet_file, micro_controlnet
from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

LIMIT = 1e-5
C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)


def image(seed: int = 0) -> Tensor:
    return torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed))


def controlled(pack: Any, cond: list, seed: int = 0, net: Any = None, end: float = 1.0) -> list:
    """``cond`` through Apply ControlNet (Advanced); the copy for the negative side is dropped."""
    net = micro_controlnet(seed) if net is None else net
    inputs = {"control_net": net, "image": image(seed), "strength": 0.8, "end_percent": end}
    return pack.run("ControlNetApplyAdvanced", positive=cond, negative=cond, **inputs)[0]


def control_of(cond: list) -> Any:
    return cond[0][1]["control"]


def test_acts_on_the_control_term_alone(pack: Any) -> None:
    terms = [
        {"model": micro_model(5), "weight": 2.0},
        {"positive": controlled(pack, C), "weight": 3.0},
        {"positive": D, "weight": -1.0},
    ]
    ours = guided(gcfg(pack, micro_model(0), U, *terms), points(), SIGMAS)
    expected = []
    for x, s in zip(points(), SIGMAS, strict=True):
        zero, concept = denoised(micro_model(0), U, x, s), denoised(micro_model(5), U, x, s)
        control, plain = denoised(micro_model(0), controlled(pack, C), x, s), denoised(micro_model(0), C, x, s)
        assert relative_error([control], [plain]) > 1e-3
        total = zero + 2.0 * (concept - zero) + 3.0 * (control - zero)
        expected.append(total - (denoised(micro_model(0), D, x, s) - zero))
    assert relative_error(ours, expected) <= LIMIT


@pytest.mark.parametrize("where", ["other model", "variant", "both"])
def test_one_controlled_condition_serves_several_models(pack: Any, where: str) -> None:
    """A ControlNet keeps the noise schedule and the hint of the model it last worked for."""
    base = micro_model(0)
    others = {"other model": [(5, 0)], "variant": [(0, 1)], "both": [(5, 0), (0, 1)]}[where]
    shared = controlled(pack, controlled(pack, C, 1), 2, end=0.2)
    assert control_of(shared).previous_controlnet is not None

    def made(seed: int, lora: int, model: Any = None) -> Any:
        model = micro_model(seed) if model is None else model
        edm = pack.run("ModelSamplingContinuousEDM", model=model, sampling="eps")[0]
        return with_lora(model, lora) if lora else edm

    models = [made(seed, lora, base if lora else None) for seed, lora in others]
    terms = [{"model": model, "positive": shared, "weight": 1.5} for model in models]
    terms.append({"positive": shared, "weight": 3.0})
    ours = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    expected = []
    for x, s in zip(points(), SIGMAS, strict=True):
        zero = denoised(micro_model(0), U, x, s)
        total = zero + 3.0 * (denoised(micro_model(0), shared, x, s) - zero)
        for seed, lora in others:
            total = total + 1.5 * (denoised(made(seed, lora), shared, x, s) - zero)
        expected.append(total)
    assert relative_error(ours, expected) <= LIMIT


def test_old_apply_controlnet_reaches_the_base_as_under_cfg(pack: Any) -> None:
    inputs = {"control_net": micro_controlnet(), "image": image(), "strength": 0.8}
    (cond,) = pack.run("ControlNetApply", conditioning=C, **inputs)
    assert cond[0][1]["control_apply_to_uncond"]
    model = micro_model(0)
    ours = guided(gcfg(pack, model, U, {"positive": cond, "weight": 3.0}), points(), SIGMAS)
    core = guided(cfg(model, cond, U, 3.0), points(), SIGMAS)
    assert all(map(torch.equal, ours, core))
    advanced = guided(cfg(model, controlled(pack, C), U, 3.0), points(), SIGMAS)
    assert relative_error(core, advanced) > 1e-3


def test_batches_and_windows_keep_the_hint_right(pack: Any) -> None:
    """The number of rows that a ControlNet sees changes within a run."""
    net = micro_controlnet()
    terms = [
        {"positive": controlled(pack, C, net=net), "weight": 3.0},
        {"positive": controlled(pack, D, net=net), "weight": 2.0, "end_percent": 0.5},
    ]
    both = guided(gcfg(pack, micro_model(0), U, *terms), points(batch=2), SIGMAS)
    for row in range(2):
        xs = [x[row : row + 1] for x in points(batch=2)]
        alone = guided(gcfg(pack, micro_model(0), U, *terms), xs, SIGMAS)
        assert relative_error([one[row : row + 1] for one in both], alone) <= LIMIT


@pytest.mark.parametrize("shared", [False, True], ids=["two models", "with a variant"])
def test_everything_is_loaded_in_one_call(pack: Any, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    base, other, nets = micro_model(0), micro_model(5), [micro_controlnet(i) for i in range(3)]
    terms = [
        {"positive": controlled(pack, C, net=nets[0]), "weight": 3.0},
        {"model": other, "positive": controlled(pack, D, net=nets[1]), "weight": 2.0},
        {"positive": controlled(pack, D, net=nets[2]), "weight": 1.0},
    ]
    if shared:
        terms.append({"model": with_lora(base, 1), "positive": controlled(pack, D, net=nets[2])})
    load, calls = comfy.model_management.load_models_gpu, []

    def spy(models: list, *args: Any, **kwargs: Any) -> None:
        calls.append([one.model for one in models])
        load(models, *args, **kwargs)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", spy)
    guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    assert len(calls) == 1
    expected = [base.model, other.model, *(net.control_model for net in nets)]
    assert {id(model) for model in calls[0]} == {id(model) for model in expected}


def test_patch_models_of_every_branch_are_loaded(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch objects may bring models of their own; the one that is loaded is the one that is used."""

    class Patch:
        def __init__(self) -> None:
            self.model = micro_controlnet().control_model_wrapped

        def models(self) -> list:
            return [self.model]

        def __call__(self, q: Tensor, k: Tensor, v: Tensor, extra: dict) -> tuple:
            used.add(id(self.model.model))
            return q, k, v

    used: set[int] = set()
    base = micro_model(0)
    base.set_model_attn2_patch(Patch())
    variant = base.clone()
    variant.set_model_attn2_patch(Patch())
    load, loaded = comfy.model_management.load_models_gpu, set()

    def spy(models: list, *args: Any, **kwargs: Any) -> None:
        loaded.update(id(one.model) for model in models for one in [model, *model.model_patches_models()])
        load(models, *args, **kwargs)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", spy)
    guider = gcfg(pack, base, U, {"model": variant, "positive": C}, {"positive": D})
    guided(guider, points(), SIGMAS)
    assert used and used <= loaded


@pytest.mark.parametrize("fails", [False, True], ids=["success", "error"])
def test_nothing_stays_in_controlnets(pack: Any, fails: bool) -> None:
    nets = [micro_controlnet(i) for i in range(3)]
    chained = controlled(pack, controlled(pack, C, net=nets[0]), net=nets[1])
    extra = controlled(pack, D, net=nets[2])
    terms = [{"positive": chained}, {"positive": extra}, {"model": micro_model(5), "positive": chained}]
    if fails:
        broken = micro_model(7)
        broken.set_model_attn2_patch(lambda *_: 1 / 0)
        terms.append({"model": broken, "positive": extra})
    guider = gcfg(pack, micro_model(0), U, *terms)
    if fails:
        with pytest.raises(ZeroDivisionError):
            guided(guider, points(), SIGMAS)
    else:
        guided(guider, points(), SIGMAS)
    for control in (control_of(chained), control_of(chained).previous_controlnet, control_of(extra)):
        assert control.cond_hint is None
        assert control.model_sampling_current is None
        assert control.timestep_range is None


@pytest.mark.usefixtures("model_files")
def test_through_the_loader_node_and_the_sampler_node(pack: Any) -> None:
    (net,) = pack.run("ControlNetLoader", control_net_name=controlnet_file().name)
    base, other = load_tiny("sd15", 0), load_tiny("sd15", 1)
    conds = [tiny_cond("sd15", i) for i in range(2)]
    cond = pack.run(
        "ControlNetApplyAdvanced", positive=conds[1], negative=conds[0], control_net=net,
        image=torch.rand(1, 128, 128, 3), strength=1.0, start_percent=0.0, end_percent=0.6,
    )[0]  # fmt: skip
    (terms,) = pack.run("GCFG_GuidanceTerm", model=other, weight=2.0)
    (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=cond, weight=2.5)
    with count_forwards(base, other) as count:
        latent, _ = pack.run(
            "GCFG_Sampler", model=base, conditioning=conds[0], terms=terms, latent_image=tiny_latent("sd15"), steps=2
        )
    assert torch.isfinite(latent["samples"]).all()
    assert (count.of(base).chunks, count.of(other).chunks) == (4, 2)
