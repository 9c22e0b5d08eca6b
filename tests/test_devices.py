"""Memory is asked for all models; each model is asked on its own device, in its own dtype."""

import contextlib
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import CallbacksMP

from rigs.by_hand import fitted
from rigs.graphs import SIGMAS, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_model
from rigs.multigpu import needs_latent_shapes
from rigs.probe import denoised, guided
from rigs.second_device import AWAY, HOME, move, second_device
from rigs.tiny import tiny_cond, tiny_unet

C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_joint_loading_does_not_depend_on_what_is_loaded(pack: Any, order: tuple[int, ...]) -> None:
    base, other = micro_model(0), micro_model(5)
    models = [base, other, with_lora(base, 1)]
    terms = [{"model": model, "positive": C, "weight": 2.0} for model in models]
    expected = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    comfy.model_management.unload_all_models()
    for index in order:
        comfy.model_management.load_models_gpu([models[index]])
    assert all(map(torch.equal, guided(gcfg(pack, base, U, *terms), points(), SIGMAS), expected))


def loading(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    load, calls = comfy.model_management.load_models_gpu, []

    def spy(models: list, *args: Any, **kwargs: Any) -> None:
        calls.append({"models": models, **kwargs})
        load(models, *args, **kwargs)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", spy)
    return calls


def test_memory_for_patched_tensors_is_reserved(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base = micro_model(0)
    clones = [with_lora(base, 1), with_lora(base, 2)]
    calls = loading(monkeypatch)
    guided(gcfg(pack, base, U, {"positive": C}), points(), SIGMAS)
    guided(gcfg(pack, base, U, {"positive": C}, *({"model": m, "positive": D} for m in clones)), points(), SIGMAS)
    patched = sum(base.model.state_dict()[key].nbytes for clone in clones for key in clone.patches)
    for name in ("memory_required", "minimum_memory_required"):
        assert calls[1][name] - calls[0][name] == patched
    assert len(calls[1]["models"]) == 1


def test_memory_for_the_hungriest_model_is_reserved(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base, other = micro_model(0), micro_model(5)
    hungry = comfy.model_base.BaseModel.memory_required(other.model, [2, 4, 8, 8]) + 123_456
    monkeypatch.setattr(other.model, "memory_required", lambda *_, **__: hungry)
    calls = loading(monkeypatch)
    guided(gcfg(pack, base, U, {"model": other, "positive": D}), points(), SIGMAS)
    assert calls[0]["memory_required"] == hungry


@pytest.mark.parametrize("where", ["base", "term"])
def test_each_model_is_asked_on_its_own_device(pack: Any, where: str) -> None:
    """What a network is given is on its device, its conditions' masks too; what it gives is on the base's."""
    mask = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(1))
    c, d, u = (
        pack.run("ConditioningSetMask", conditioning=cond, mask=mask, strength=0.8)[0] + micro_cond(4)
        for cond in (C, D, U)
    )  # fmt: skip
    base, other = micro_model(0), micro_model(5)
    move(base if where == "base" else other)
    terms = [{"positive": c, "weight": 2.0}, {"model": other, "positive": d, "weight": 1.5, "mask": mask}]
    guider = gcfg(pack, base, u, *terms)
    with second_device():
        ours = guided(guider, points(), SIGMAS)
    expected = []
    for x, s in zip(points(), SIGMAS, strict=True):
        zero = denoised(micro_model(0), u, x, s)
        total = zero + 2.0 * (denoised(micro_model(0), c, x, s) - zero)
        expected.append(total + 1.5 * fitted(mask, (8, 8)).float() * (denoised(micro_model(5), d, x, s) - zero))
    assert relative_error(ours, expected) <= 1e-5


def test_what_is_reserved_and_why_is_one_line(
    pack: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    base, other = micro_model(0), micro_model(5)
    clone = with_lora(base, 1)
    hungry = comfy.model_base.BaseModel.memory_required(other.model, [2, 4, 8, 8]) + 3 * 1024**2
    monkeypatch.setattr(other.model, "memory_required", lambda *_, **__: hungry)
    terms = [
        {"positive": C},
        {"model": clone, "positive": D, "label": "style"},
        {"model": other, "positive": D, "label": "form"},
    ]
    calls = loading(monkeypatch)
    guided(gcfg(pack, base, U, *terms[:1]), points(), SIGMAS)
    assert "reserved" not in caplog.text
    guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    reserved = calls[1]["memory_required"] - calls[0]["memory_required"]
    patched = sum(base.model.state_dict()[key].nbytes for key in clone.patches)
    (line,) = [record.getMessage() for record in caplog.records if "reserved" in record.getMessage()]
    assert line == (
        f"GCFG: reserved {reserved / 1024**2:.1f} MB of memory: {patched / 1024**2:.1f} MB for the patched weights of "
        "style, 3.0 MB since form needs more for a forward than the base"
    )


@pytest.mark.parametrize("kind", ["other model", "LoRA clone"])
def test_a_model_runs_with_its_device_current(pack: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """H4: custom CUDA kernels ask for the current device; newer hosts have a context for it."""
    current = [HOME]

    @contextlib.contextmanager
    def device_context(device: torch.device) -> Iterator[None]:
        current.append(device)
        yield
        current.pop()

    monkeypatch.setattr(comfy.model_management, "cuda_device_context", device_context, raising=False)
    base, first, seen = micro_model(0), micro_model(5), list[tuple[str, torch.device]]()
    move(first)
    other = first if kind == "other model" else with_lora(first, 1)
    models = [first, other] if other is not first else [other]
    for model in models:
        model.add_callback(CallbacksMP.ON_PRE_RUN, lambda _: seen.append(("begin", current[-1])))
        model.set_model_attn1_patch(lambda q, k, v, _: (seen.append(("evaluate", current[-1])), (q, k, v))[1])
    with second_device():
        guided(gcfg(pack, base, U, *({"model": model, "positive": C} for model in models)), points(), SIGMAS)
    assert {what for what, _ in seen} == {"begin", "evaluate"}
    assert {where for _, where in seen} == {AWAY}


@pytest.mark.parametrize("base_is", ["home", "away"])
def test_clones_of_one_model_on_two_devices(pack: Any, base_is: str, caplog: pytest.LogCaptureFixture) -> None:
    """H10: a module lies on one device, and all clones that share it are evaluated there."""
    base = micro_model(0)
    lora = with_lora(base, 1)
    if base_is == "away":
        move(base)
    else:
        lora.load_device = AWAY
    terms = [{"positive": C, "weight": 3.0}, {"model": lora, "positive": D, "weight": 2.0, "label": "style"}]
    with second_device():
        ours = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    expected = []
    for x, s in zip(points(), SIGMAS, strict=True):
        zero, side = (denoised(micro_model(0), cond, x, s) for cond in (U, C))
        expected.append(zero + 3.0 * (side - zero) + 2.0 * (denoised(with_lora(micro_model(0), 1), D, x, s) - zero))
    assert relative_error(ours, expected) <= 2e-6
    assert lora.load_device == (HOME if base_is == "away" else AWAY)
    assert "style shares its weights with another model of the graph" in caplog.text


@needs_latent_shapes
@pytest.mark.parametrize("kind", ["other model", "LoRA clone"])
def test_every_model_knows_the_shapes_of_the_latent(pack: Any, kind: str) -> None:
    """H12: a model used with sound before kept the shapes of that latent as a term's model."""
    base, seen = micro_model(0), []
    other = micro_model(5) if kind == "other model" else with_lora(base, 1)
    old = [torch.Size([1, 4, 8, 8]), torch.Size([1, 8, 16])]
    for model in {id(model.model): model.model for model in (base, other)}.values():
        model.latent_shapes = old
        note = lambda *_, model=model: seen.append(model.latent_shapes)  # noqa: E731
        model.diffusion_model.register_forward_pre_hook(note)
    guided(gcfg(pack, base, U, {"model": other, "positive": C}), points(), SIGMAS)
    assert len(seen) == 2 * len(SIGMAS)
    assert all(shapes == [points()[0].shape] for shapes in seen)
    assert base.model.latent_shapes is old and other.model.latent_shapes is old


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_of_several_dtypes_mix(pack: Any, dtype: torch.dtype) -> None:
    def load(dtype: torch.dtype | None = None, seed: int = 0) -> Any:
        options = {} if dtype is None else {"dtype": dtype}
        return comfy.sd.load_diffusion_model(str(tiny_unet("sd15", seed)), model_options=options)

    conds, x = [tiny_cond("sd15", i) for i in range(2)], points((3.0,), size=16)
    terms = [{"model": load(dtype, 1), "positive": conds[1], "weight": 2.0}]
    ours = guided(gcfg(pack, load(), conds[0], *terms), x, (3.0,))
    zero, side = denoised(load(), conds[0], x[0], 3.0), denoised(load(dtype, 1), conds[1], x[0], 3.0)
    assert relative_error(ours, [zero + (side - zero) * 2.0]) <= 1e-5
    assert ours[0].dtype == torch.float32


def test_the_devices_of_a_model_alone_are_left_to_comfyui(pack: Any) -> None:
    """H1: in a graph of one model the patcher is the user's own, and keeps its clones."""
    model = micro_model(0)
    model.set_additional_models("multigpu", [micro_model(1)])
    guided(gcfg(pack, model, U, {"positive": C}), points(), SIGMAS)
    assert len(model.get_additional_models_with_key("multigpu")) == 1
