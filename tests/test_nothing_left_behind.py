"""A run leaves every model as it found it, also after errors and interrupts, and keeps no clone alive."""

import gc
import weakref
from typing import Any

import comfy.model_management
import comfy.model_patcher
import pytest
import torch
from comfy.patcher_extension import CallbacksMP
from torch import Tensor

from rigs.endings import ENDINGS, on_call
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.mixed_graph import MixedGraph
from rigs.probe import guided, sampled
from rigs.states import traits


@pytest.fixture
def setting(pack: Any) -> MixedGraph:
    return MixedGraph(pack)


def run(guider: Any) -> Tensor:
    return sampled(guider, micro_latent(0)["samples"])


@pytest.mark.parametrize("where", ["base", "other", "lora", "clone"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_leaves_every_patcher_as_it_was(pack: Any, setting: MixedGraph, ending: str, where: str) -> None:
    action, error = ENDINGS[ending]
    weights = [{name: value.clone() for name, value in m.model.state_dict().items()} for m in setting.models]
    getattr(setting, where).set_model_attn2_patch(on_call(3, action))
    for model in (setting.base, setting.other):  # as ComfyUI itself leaves a model that it has sampled with
        guided(cfg(model, micro_cond(3), micro_cond(3), 1.0), points(SIGMAS[:1]), SIGMAS[:1])
    guider = setting.make_guider()
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
    fresh = MixedGraph(pack)
    getattr(fresh, where).set_model_attn2_patch(on_call(0, action))  # patches decide what is evaluated together
    assert relative_error([run(fresh.guider)], [run(setting.guider)]) == 0.0


@pytest.mark.parametrize("failing", [0, 1])
def test_all_models_are_cleaned_up_where_another_packs_cleanup_fails(pack: Any, failing: int) -> None:
    base, cleaned = micro_model(0), []
    clones = [with_lora(base, seed) for seed in (1, 2)]

    def clean(i: int) -> None:
        cleaned.append(i)
        if i == failing:
            raise OSError("cleanup failed")

    for i, clone in enumerate(clones):
        clone.add_callback(CallbacksMP.ON_CLEANUP, lambda _, i=i: clean(i))
    guider = gcfg(pack, base, micro_cond(0), *({"model": one, "positive": micro_cond(1)} for one in clones))
    with pytest.raises(OSError, match="cleanup failed"):
        guided(guider, points(), SIGMAS)
    assert sorted(cleaned) == [0, 1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_clone_survives_a_run(setting: MixedGraph, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    action, error = ENDINGS[ending]
    run(setting.guider)
    setting.other.set_model_attn2_patch(on_call(3, action))
    guider = setting.make_guider()
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


def test_clones_go_without_the_garbage_collector(setting: MixedGraph, monkeypatch: pytest.MonkeyPatch) -> None:
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
