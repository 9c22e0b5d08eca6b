"""Faults at random times in a run: every model, weight, condition and file is afterwards as before, and the next run
is right."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.endings import fail, interrupt
from rigs.graphs import SIGMAS, cfg, points
from rigs.host import cache_dir
from rigs.micro import micro_cond, micro_latent
from rigs.mixed_graph import C, D, E, MixedGraph, U
from rigs.probe import guided, sampled
from rigs.states import snapshot, traits

FAULTS = 50


def out_of_memory() -> None:
    raise torch.cuda.OutOfMemoryError("no memory left, on purpose")


ERRORS: dict[str, tuple[Callable[[], None], type[BaseException]]] = {
    "error": (fail, RuntimeError),
    "out of memory": (out_of_memory, torch.cuda.OutOfMemoryError),
    "interrupt": (interrupt, comfy.model_management.InterruptProcessingException),
}
PLACES: dict[str, tuple[Any, str]] = {
    "forward": (comfy.model_base.BaseModel, "apply_model"),
    "load": (comfy.model_patcher.ModelPatcher, "load"),
    "joint load": (comfy.model_management, "load_models_gpu"),
    "weight": (comfy.model_patcher.ModelPatcher, "patch_weight_to_device"),
    "condition": (comfy.samplers, "process_conds"),
    "batch": (comfy.samplers, "calc_cond_batch"),
    "pre_run": (comfy.model_patcher.ModelPatcher, "pre_run"),
    "cleanup": (comfy.model_patcher.ModelPatcher, "cleanup"),
}
"""Functions of ComfyUI's that a run calls; the hook and the callback are our own."""


class Fault:
    """Acts when the watched place is reached for the given time; 0 only counts."""

    def __init__(self, number: int = 0, action: Callable[[], None] = fail) -> None:
        self.number, self.action, self.count = number, action, 0

    def reached(self) -> None:
        self.count += 1
        if self.count == self.number:
            self.action()

    def around(self, function: Callable) -> Callable:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.reached()
            return function(*args, **kwargs)

        return watched


def run(setting: MixedGraph, place: str, fault: Fault, patch: pytest.MonkeyPatch) -> Tensor:
    """Sample with the fault in this place."""

    def hook(arguments: dict[str, Any]) -> Tensor:
        if place == "hook":
            fault.reached()
        return arguments["denoised"]

    def callback(*_: Any) -> None:
        if place == "callback":
            fault.reached()

    setting.base.set_model_sampler_post_cfg_function(hook)
    guider = setting.make_guider()
    comfy.model_management.unload_all_models()
    with patch.context() as patched:
        if place in PLACES:
            owner, name = PLACES[place]
            patched.setattr(owner, name, fault.around(getattr(owner, name)))
        return sampled(guider, micro_latent(0)["samples"], callback=callback)


def files() -> dict[Path, tuple[int, int]]:
    """Size and time of every model file."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in cache_dir().iterdir()}


def state_of(setting: MixedGraph) -> dict[str, Any]:
    """Patchers and conditions. What lies on a device may differ, so all models are unloaded first."""
    comfy.model_management.unload_all_models()
    conditions = [[(id(entry[0]), snapshot(entry[1])) for entry in condition] for condition in (C, D, E, U)]
    patchers = [traits(model) for model in setting.models]
    for one in patchers:
        del one["current"]
        one["model_options"].pop("sampler_post_cfg_function", None)
    return {"patchers": patchers, "conditions": conditions}


@pytest.fixture(scope="module")
def reached(pack: Any) -> dict[str, int]:
    """How often a run comes to each place."""
    counts = {}
    with pytest.MonkeyPatch.context() as patch:
        for place in (*PLACES, "hook", "callback"):
            fault = Fault()
            run(MixedGraph(pack), place, fault, patch)
            counts[place] = fault.count
    assert all(counts.values()), counts
    return counts


@pytest.mark.parametrize("seed", range(FAULTS))
def test_a_fault_leaves_everything_as_it_was(
    pack: Any, reached: dict[str, int], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = random.Random(seed)
    place = (*PLACES, "hook", "callback")[seed % len(reached)]
    number, kind = r.randint(1, reached[place]), r.choice(list(ERRORS))
    action, error = ERRORS[kind]
    setting = MixedGraph(pack)
    weights = [{name: value.clone() for name, value in m.model.state_dict().items()} for m in setting.models]
    for model in (setting.base, setting.other):  # as ComfyUI itself leaves a model that it has sampled with
        guided(cfg(model, micro_cond(3), micro_cond(3), 1.0), points(SIGMAS[:1]), SIGMAS[:1])
    before, model_files = state_of(setting), files()
    fault = Fault(number, action)
    with pytest.raises(error):
        run(setting, place, fault, monkeypatch)
    assert fault.count >= number
    assert state_of(setting) == before
    assert model_files.items() <= files().items()  # tests beside this may add some
    for model, state in zip(setting.models, weights, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in model.model.state_dict().items())
    expected = run(MixedGraph(pack), "", Fault(), monkeypatch)
    assert torch.equal(run(setting, "", Fault(), monkeypatch), expected)
