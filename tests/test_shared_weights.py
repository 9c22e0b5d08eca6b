"""Clones that share one network give the numbers of separately loaded files, and leave the network as it was."""

import gc
from typing import Any

import comfy.model_management
import comfy.sd
import pytest
import torch
from torch import Tensor

from rigs.endings import FAILURES, on_call
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import guided
from rigs.tiny import tiny_cond, tiny_unet
from rigs.variants import (
    GRAPHS,
    assert_same_state,
    expected_sum,
    plain,
    separate_variants,
    state_of,
    terms_of,
    v_prediction,
    variants,
)

LIMIT = 1e-5
pytestmark = pytest.mark.usefixtures("model_files")


@pytest.mark.parametrize("graph", GRAPHS)
def test_equals_separately_loaded_files(pack: Any, graph: str) -> None:
    model = micro_model()
    before = state_of(model)
    base, models = variants(pack, graph, model)
    expected = expected_sum(*separate_variants(pack, graph))
    guider = gcfg(pack, base, micro_cond(0), *terms_of(models))
    first = guided(guider, points(), SIGMAS)
    error = relative_error(first, expected)
    print(f"{graph}: relative error {error:.1e}")
    assert error <= LIMIT
    base_file, term_files = separate_variants(pack, graph)
    files = gcfg(pack, base_file, micro_cond(0), *terms_of(term_files))
    assert all(map(torch.equal, first, guided(files, points(), SIGMAS))), "not the separate files' numbers to the bit"

    on_base, on_terms = GRAPHS[graph]
    apart = expected_sum(on_base(pack, micro_model()), [micro_model() for _ in models])
    if any(change is not plain for change in on_terms):
        assert relative_error(expected, apart) > 1e-3, "the clones do not differ enough for this test to say anything"
    for loaded_before in (*models, base, model, None):
        if loaded_before is None:
            comfy.model_management.unload_all_models()
        else:
            run_ksampler(pack, loaded_before)
        again = guided(guider, points(), SIGMAS)
        assert all(map(torch.equal, first, again)), "the result depends on what was loaded before"
    comfy.model_management.unload_all_models()
    assert_same_state(model, before)


def run_ksampler(pack: Any, model: Any) -> Tensor:
    (latent,) = pack.run(
        "KSampler", model=model, positive=micro_cond(1), negative=micro_cond(2), latent_image=micro_latent(),
        steps=2, cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0, seed=1,
    )  # fmt: skip
    return latent["samples"]


@pytest.mark.parametrize("graph", ["two LoRAs on one base", "LoRA base, plain term", "model_sampling and LoRA"])
def test_other_samplers_are_not_affected_by_a_run(pack: Any, graph: str) -> None:
    model = micro_model()
    base, models = variants(pack, graph, model)
    everyone = [base, *models, model]
    before = [run_ksampler(pack, one) for one in everyone]
    for one, image in zip(everyone, before, strict=True):
        guided(gcfg(pack, base, micro_cond(0), *terms_of(models)), points(), SIGMAS)
        assert torch.equal(run_ksampler(pack, one), image)


def live_bytes() -> int:
    """Bytes of every tensor storage that is alive."""
    gc.collect()
    tensors = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("graph", ["base and LoRA", "two LoRAs on one base", "LoRA base, plain term"])
def test_extra_memory_is_the_patched_tensors(pack: Any, graph: str) -> None:
    model = comfy.sd.load_diffusion_model(str(tiny_unet("sd15")))
    base, models = variants(pack, graph, model)
    weights = model.model.state_dict()
    patched = sum(weights[key].nbytes for one in models for key in {**one.patches, **base.patches})
    whole = sum(value.nbytes for value in weights.values())
    assert patched < 0.5 * whole
    terms = [{"model": one, "positive": tiny_cond("sd15", i), "weight": 2.0} for i, one in enumerate(models)]
    guider = gcfg(pack, base, tiny_cond("sd15", 9), *terms)
    guided(cfg(base, tiny_cond("sd15", 9), tiny_cond("sd15", 8), 2.0), points(size=16), SIGMAS)
    before, during = live_bytes(), []

    def note(ask: Any, k: int) -> Any:
        during.append(live_bytes())
        return ask

    guided(guider, points(size=16), SIGMAS, note)
    small = 200_000  # latents, conditions and masks of the run
    print(f"{graph}: {max(during) - before} bytes more, patched tensors {patched}, checkpoint {whole}")
    assert max(during) - before <= patched + small
    assert live_bytes() - before <= small


@pytest.mark.parametrize("where", ["base", "term"])
@pytest.mark.parametrize("ending", FAILURES)
def test_weights_come_back_after(pack: Any, ending: str, where: str) -> None:
    action, error = FAILURES[ending]
    model = micro_model()
    before = state_of(model)
    parameters = dict(model.model.named_parameters())
    sampling = model.model.model_sampling
    other = v_prediction(pack, with_lora(model, 1))
    base = model.clone() if where == "base" else model
    (base if where == "base" else other).set_model_attn2_patch(on_call(3, action))
    guider = gcfg(pack, base, micro_cond(0), *terms_of([other, with_lora(model, 2)]))
    with pytest.raises(error):
        guided(guider, points(), SIGMAS)
    assert_same_state(model, before)
    assert all(parameters[name] is value for name, value in model.model.named_parameters())
    assert model.model.model_sampling is sampling
    assert model.model.current_patcher is None


@pytest.mark.parametrize("unloads", [False, True], ids=["load again", "unload first"])
def test_a_reload_within_a_run_does_no_harm(pack: Any, unloads: bool) -> None:
    """ControlNets with a VAE have ComfyUI load all models again, while a clone is being evaluated."""
    model, calls = micro_model(), []
    base, other = with_lora(model, 1), v_prediction(pack, with_lora(model, 2))

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> tuple:
        calls.append(1)
        if len(calls) == 1:
            loaded = comfy.model_management.loaded_models(only_currently_used=True)
            if unloads:
                comfy.model_management.unload_all_models()
            comfy.model_management.load_models_gpu(loaded)
        return q, k, v

    expected = guided(gcfg(pack, base, micro_cond(0), *terms_of([other])), points(), SIGMAS)
    other.set_model_attn2_patch(patch)
    ours = guided(gcfg(pack, base, micro_cond(0), *terms_of([other])), points(), SIGMAS)
    assert len(calls) >= len(SIGMAS)
    assert all(map(torch.equal, ours[1:], expected[1:]))
