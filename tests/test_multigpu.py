"""MultiGPU CFG Split, Select Model Device: each model of a graph is evaluated by its own clones, where it lies."""

import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import comfy.controlnet
import comfy.model_management
import pytest
import torch

from rigs.controlnet import micro_controlnet
from rigs.counter import count_forwards
from rigs.endings import FAILURES, on_call
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import lora_file, with_lora
from rigs.micro import micro_cond, micro_model
from rigs.multigpu import Loader, away, expected_sum, needs_latent_shapes, needs_multigpu, split
from rigs.probe import guided
from rigs.second_device import AWAY, HOME, move, second_device

LIMIT = 2e-6
C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)
pytestmark = [needs_multigpu, pytest.mark.usefixtures("model_files")]


@pytest.fixture(autouse=True)
def _two_devices() -> Iterator[None]:
    with second_device():
        comfy.model_management.unload_all_models()
        yield
        comfy.model_management.unload_all_models()


def terms_of(model: Any) -> list[dict[str, Any]]:
    """One term on the base model, two on ``model``."""
    return [
        {"positive": C, "weight": 3.0},
        {"model": model, "positive": D, "weight": 2.0},
        {"model": model, "positive": C, "weight": -1.5},
    ]


def expected(base: Any, other: Any) -> list:
    return expected_sum(base, U, [(base, C, 3.0), (other, D, 2.0), (other, C, -1.5)])


def test_the_rig_spreads_conditions_over_both_devices(pack: Any) -> None:
    """ComfyUI's own guider, scheduler and threads, with tensors of two devices kept apart in the threads too."""
    model = split(pack, Loader().load(0))
    with count_forwards(model, away(model)) as n:
        ours = guided(cfg(model, C, U, 3.0), points(), SIGMAS)
    assert n.of(model).chunks == n.of(away(model)).chunks == len(SIGMAS)
    assert relative_error(ours, expected_sum(micro_model(0), U, [(micro_model(0), C, 3.0)])) <= LIMIT
    caught: list[Exception] = []

    def mix(*_: Any) -> None:
        try:
            torch.ones(2, device=AWAY) + torch.ones(2)
        except RuntimeError as error:
            caught.append(error)

    pool = comfy.multigpu.MultiGPUThreadPool([HOME, AWAY])
    pool.submit(AWAY, mix)
    pool.get_result(AWAY)
    pool.shutdown()
    assert len(caught) == 1


@pytest.mark.parametrize("where", ["term", "base", "both"])
def test_each_model_is_evaluated_by_its_own_clones(pack: Any, where: str) -> None:
    """H1: the base used to be evaluated with the weights of a term's clone."""
    base, other = Loader().load(0), Loader().load(5)
    base = split(pack, base) if where != "term" else base
    other = split(pack, other) if where != "base" else other
    models = [base, other] + [away(one) for one in (base, other) if one.get_additional_models()]
    with count_forwards(*models) as n:
        ours = guided(gcfg(pack, base, U, *terms_of(other)), points(), SIGMAS)
    assert relative_error(ours, expected(micro_model(0), micro_model(5))) <= LIMIT
    for model in (base, other):
        own = [model, away(model)] if model.get_additional_models() else [model]
        assert [n.of(one).chunks for one in own] == [len(SIGMAS) * 2 // len(own)] * len(own)


def test_one_term_on_a_split_base_is_cfg(pack: Any) -> None:
    base = split(pack, Loader().load(0))
    ours = guided(gcfg(pack, base, U, {"positive": C, "weight": 3.0}), points(), SIGMAS)
    theirs = guided(cfg(base, C, U, 3.0), points(), SIGMAS)
    assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("order", ["LoRA after split", "split after LoRA", "both"])
def test_lora_clones_of_split_models(pack: Any, order: str, caplog: pytest.LogCaptureFixture) -> None:
    """H2: the reservation of memory for the LoRA's tensors ended every run on a split base."""
    caplog.set_level(logging.INFO)
    base = Loader().load(0)
    if order == "LoRA after split":
        base = split(pack, base)
        lora = with_lora(base, 1)
    else:
        lora = split(pack, with_lora(base, 1))
        base = split(pack, base) if order == "both" else base
    ours = guided(gcfg(pack, base, U, *terms_of(lora)), points(), SIGMAS)
    assert relative_error(ours, expected(micro_model(0), with_lora(micro_model(0), 1))) <= LIMIT
    assert ("does not use all devices" in caplog.text) == (order == "LoRA after split")
    assert "for the patched weights of model2" in caplog.text


def test_models_are_not_copied_to_devices_that_do_not_use_them(pack: Any) -> None:
    """H3: a term's model used to be read again in every run, for a device where nothing used it."""
    loader = Loader()
    base, other = split(pack, loader.load(0)), loader.load(5)
    loader.loads.clear()
    for _ in range(2):
        ours = guided(gcfg(pack, base, U, *terms_of(other)), points(), SIGMAS)
    loaded = comfy.model_management.loaded_models()
    assert loader.loads == []
    assert [model.model for model in loaded if model.load_device == AWAY] == [away(base).model]
    assert relative_error(ours, expected(micro_model(0), micro_model(5))) <= LIMIT


@pytest.mark.parametrize("where", ["base", "term"])
def test_models_that_cannot_be_loaded_again(pack: Any, where: str) -> None:
    """H3: RuntimeError where a model's loader offers no second load, though nobody needs one."""
    base = split(pack, Loader().load(0))
    other = micro_model(5)
    assert other.cached_patcher_init is None
    base, other = (base, other) if where == "term" else (other, base)
    ours = guided(gcfg(pack, base, U, *terms_of(other)), points(), SIGMAS)
    seeds = (0, 5) if where == "term" else (5, 0)
    assert relative_error(ours, expected(*map(micro_model, seeds))) <= LIMIT


def controlled(pack: Any, cond: list) -> list:
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    inputs = {"control_net": micro_controlnet(0), "image": image, "strength": 0.8}
    return pack.run("ControlNetApplyAdvanced", positive=cond, negative=cond, **inputs)[0]


@pytest.mark.parametrize("where", ["term", "base"])
def test_controlnets_are_copied_to_the_devices_of_their_model_alone(
    pack: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3: a term's ControlNet follows the term's model, not the base's."""
    copies: list[torch.device] = []
    deepclone = comfy.controlnet.ControlNet.deepclone_multigpu

    def noted(self: Any, device: torch.device, **options: Any) -> Any:
        copies.append(device)
        return deepclone(self, device, **options)

    monkeypatch.setattr(comfy.controlnet.ControlNet, "deepclone_multigpu", noted)
    base, other = Loader().load(0), Loader().load(5)
    base, other = (split(pack, base), other) if where == "base" else (base, split(pack, other))
    term = {"model": other, "positive": controlled(pack, D), "weight": 2.0}
    terms = [{"positive": C, "weight": 3.0}, term, {"model": other, "positive": C, "weight": -1.5}]
    ours = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    assert copies == ([AWAY] if where == "term" else [])
    sums = [(micro_model(0), C, 3.0), (micro_model(5), controlled(pack, D), 2.0), (micro_model(5), C, -1.5)]
    assert relative_error(ours, expected_sum(micro_model(0), U, sums)) <= LIMIT


@pytest.mark.parametrize("where", ["term", "base"])
def test_weight_hooks_on_split_models(pack: Any, where: str) -> None:
    (hooks,) = pack.run("CreateHookLora", lora_name=lora_file(micro_model(0), 2).name, strength_model=0.8,
                        strength_clip=1.0)  # fmt: skip
    inputs = {"strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    hooked, other_cond = (pack.run("ConditioningSetProperties", cond_NEW=c, **inputs)[0] for c in (C, D))
    base, other = Loader().load(0), Loader().load(5)
    base, other = (split(pack, base), other) if where == "base" else (base, split(pack, other))
    terms = [
        {"positive": hooked, "weight": 3.0},
        {"model": other, "positive": other_cond, "weight": 2.0},
        {"model": other, "positive": C, "weight": -1.5},
    ]
    ours = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    loras = [with_lora(micro_model(seed), 2, 0.8) for seed in (0, 5)]
    sums = [(loras[0], C, 3.0), (loras[1], D, 2.0), (micro_model(5), C, -1.5)]
    assert relative_error(ours, expected_sum(micro_model(0), U, sums)) <= LIMIT


def test_where_a_model_is_evaluated_is_no_part_of_what_it_predicts(pack: Any) -> None:
    """A clone of a split model, and the model that was split, are the base model: evaluated once, by its clones."""
    plain = Loader().load(0)
    base = split(pack, plain)
    terms = [{"model": base.clone(), "positive": C, "weight": 3.0}, {"model": plain, "positive": D, "weight": 2.0}]
    guider = gcfg(pack, base, U, *terms)
    with count_forwards(base, away(base)) as n:
        ours = guided(guider, points(), SIGMAS)
    assert len(guider.plan.models) == 1
    assert guider.plan.primary == 0
    assert n.chunks == 3 * len(SIGMAS)
    sums = [(micro_model(0), C, 3.0), (micro_model(0), D, 2.0)]
    assert relative_error(ours, expected_sum(micro_model(0), U, sums)) <= LIMIT


@needs_latent_shapes
def test_latent_shapes_on_every_device(pack: Any) -> None:
    """H12: ComfyUI itself leaves them out on a split model's clones."""
    base, other = split(pack, Loader().load(0)), split(pack, Loader().load(5))
    seen: list[Any] = []
    modules = [one.model for model in (base, other) for one in (model, away(model))]
    for module in modules:
        module.latent_shapes = "of an earlier run"
        note = lambda *_, module=module: seen.append((module, module.latent_shapes))  # noqa: E731
        module.diffusion_model.register_forward_pre_hook(note)
    guided(gcfg(pack, base, U, *terms_of(other)), points(), SIGMAS)
    assert {id(module) for module, _ in seen} == set(map(id, modules))
    assert all(shapes == [points()[0].shape] for _, shapes in seen)
    assert [module.latent_shapes for module in modules] == ["of an earlier run"] * 4


@pytest.mark.parametrize("ending", ["success", *FAILURES])
def test_nothing_is_left_behind(pack: Any, ending: str) -> None:
    """Clones, threads and loaded modules are as they were; a module on the second device has an owner."""
    base, other = split(pack, Loader().load(0)), split(pack, Loader().load(5))
    clones = [away(one) for one in (base, other)]
    guided(gcfg(pack, base, U, *terms_of(other)), points(), SIGMAS)
    threads = threading.active_count()
    guider = gcfg(pack, base, U, *terms_of(other))
    if ending == "success":
        guided(guider, points(), SIGMAS)
    else:
        action, error = FAILURES[ending]
        other.set_model_attn2_patch(on_call(3, action))
        with pytest.raises(error):
            guided(gcfg(pack, base, U, *terms_of(other)), points(), SIGMAS)
    assert threading.active_count() == threads
    assert all(
        away(one) is clone and clone.is_multigpu_base_clone for one, clone in zip((base, other), clones, strict=True)
    )
    gc.collect()
    loaded = comfy.model_management.loaded_models()
    assert None not in loaded
    assert {one.model for one in loaded if one.load_device == AWAY} == {one.model for one in clones}
    comfy.model_management.unload_all_models()
    assert comfy.model_management.loaded_models() == []


@pytest.mark.parametrize("base_is", ["away", "home"])
def test_select_model_device_on_a_clone(pack: Any, base_is: str, caplog: pytest.LogCaptureFixture) -> None:
    """H10: the node gives a clone that shares its module another device; with a LoRA it is a model of its own."""
    moved = micro_model(0)
    move(moved)
    selected = pack.run("SelectModelDevice", model=moved, device="cpu")[0]
    assert selected.load_device == HOME and selected.model is moved.model
    base, lora = (moved, with_lora(selected, 1)) if base_is == "away" else (selected, with_lora(moved, 1))
    ours = guided(gcfg(pack, base, U, *terms_of(lora)), points(), SIGMAS)
    assert lora.load_device == (HOME if base_is == "away" else AWAY)
    assert relative_error(ours, expected(micro_model(0), with_lora(micro_model(0), 1))) <= LIMIT
    assert "model2 shares its weights with another model of the graph and is evaluated where that" in caplog.text
