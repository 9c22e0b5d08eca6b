"""Clones that share one network give the numbers of separately loaded files, and leave the network as it was."""

import gc
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import folder_paths
import pytest
import torch
from torch import Tensor

from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.host import cache_dir
from rigs.lora import lora_file, with_lora
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.packed import packed_model
from rigs.probe import denoised, guided
from rigs.tiny import tiny_cond, tiny_unet

LIMIT = 1e-5
Change = Callable[[Any, Any], Any]


@pytest.fixture(autouse=True)
def _model_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("loras", "diffusion_models"):
        paths, extensions = folder_paths.folder_names_and_paths[folder]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, folder, ([*paths, str(cache_dir())], extensions))


def plain(pack: Any, model: Any) -> Any:
    return model


def lora(seed: int, strength: float = 1.0) -> Change:
    return lambda pack, model: with_lora(model, seed, strength)


def lora_node(pack: Any, model: Any) -> Any:
    """A LoRA file through core's own loader node."""
    name = lora_file(model, 8).name
    return pack.run("LoraLoaderModelOnly", model=model, lora_name=name, strength_model=0.7)[0]


def v_prediction(pack: Any, model: Any) -> Any:
    return pack.run("ModelSamplingDiscrete", model=model, sampling="v_prediction", zsnr=True)[0]


def both(*changes: Change) -> Change:
    def change(pack: Any, model: Any) -> Any:
        for one in changes:
            model = one(pack, model)
        return model

    return change


GRAPHS = {
    "base and LoRA": (plain, [lora(1)]),
    "LoRA node": (plain, [lora_node]),
    "two LoRAs on one base": (plain, [lora(1), lora(2, -0.6)]),
    "LoRA base, plain term": (lora(1), [plain]),
    "LoRA base, other LoRA": (lora(1), [lora(2)]),
    "LoRA base, more LoRA": (lora(1), [both(lora(1), lora(2))]),
    "other model_sampling": (plain, [v_prediction]),
    "model_sampling on the base": (v_prediction, [plain]),
    "model_sampling and LoRA": (both(lora(1), v_prediction), [plain, lora(2), v_prediction]),
}
"""What is done to the base model, and to the model of every term, all clones of one model."""


def terms_of(models: list) -> list[dict[str, Any]]:
    return [
        {"model": model, "positive": micro_cond(10 + i), "reference": micro_cond(20), "weight": 1.5 - i}
        for i, model in enumerate(models)
    ]


def expected_sum(base: Any, models: list, xs: list[Tensor]) -> list[Tensor]:
    """The graph of ``terms_of`` written out, each side asked of ComfyUI alone; the reference is on the base model."""
    out = []
    for x, sigma in zip(xs, SIGMAS, strict=True):
        total = denoised(base, micro_cond(0), x, sigma).double()
        reference = denoised(base, micro_cond(20), x, sigma).double() if models else total
        for i, model in enumerate(models):
            total = total + (1.5 - i) * (denoised(model, micro_cond(10 + i), x, sigma).double() - reference)
        out.append(total.float())
    return out


def state_of(model: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.model.state_dict().items()}


def assert_same_state(model: Any, before: dict[str, Tensor]) -> None:
    after = model.model.state_dict()
    assert after.keys() == before.keys()
    changed = [name for name in before if not torch.equal(after[name], before[name])]
    assert not changed, f"{len(changed)} tensors changed, such as {changed[:2]}"


def separate_files(pack: Any, graph: str, make: Callable[[], Any] = micro_model) -> list[Tensor]:
    on_base, on_terms = GRAPHS[graph]
    return expected_sum(on_base(pack, make()), [change(pack, make()) for change in on_terms], points())


@pytest.mark.parametrize("graph", GRAPHS)
def test_equals_separately_loaded_files(pack: Any, graph: str) -> None:
    on_base, on_terms = GRAPHS[graph]
    model = micro_model()
    before = state_of(model)
    base, models = on_base(pack, model), [change(pack, model) for change in on_terms]
    expected = separate_files(pack, graph)
    guider = gcfg(pack, base, micro_cond(0), *terms_of(models))
    first = guided(guider, points(), SIGMAS)
    error = relative_error(first, expected)
    print(f"{graph}: relative error {error:.1e}")
    assert error <= LIMIT
    files = gcfg(
        pack,
        on_base(pack, micro_model()),
        micro_cond(0),
        *terms_of([change(pack, micro_model()) for change in on_terms]),
    )
    assert all(map(torch.equal, first, guided(files, points(), SIGMAS))), "not the separate files' numbers to the bit"

    apart = expected_sum(on_base(pack, micro_model()), [plain(pack, micro_model()) for _ in models], points())
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
    on_base, on_terms = GRAPHS[graph]
    model = micro_model()
    base, models = on_base(pack, model), [change(pack, model) for change in on_terms]
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
    on_base, on_terms = GRAPHS[graph]
    model = comfy.sd.load_diffusion_model(str(tiny_unet("sd15")))
    base, models = on_base(pack, model), [change(pack, model) for change in on_terms]
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


def raising(model: Any, error: Callable[[], None], call: int = 3) -> Any:
    """A clone whose cross-attention breaks in the given call."""
    clone, calls = model.clone(), []

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> tuple:
        calls.append(1)
        if len(calls) == call:
            error()
        return q, k, v

    clone.set_model_attn2_patch(patch)
    return clone


def fail() -> None:
    raise RuntimeError("on purpose")


def interrupt() -> None:
    """The user's Cancel, found at once; older hosts look for it between steps only."""
    comfy.model_management.interrupt_current_processing()
    comfy.model_management.throw_exception_if_processing_interrupted()


ENDINGS = {
    "error": (fail, RuntimeError),
    "interrupt": (interrupt, comfy.model_management.InterruptProcessingException),
}


@pytest.mark.parametrize("where", ["base", "term"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_weights_come_back_after(pack: Any, ending: str, where: str) -> None:
    action, error = ENDINGS[ending]
    model = micro_model()
    before = state_of(model)
    parameters = dict(model.model.named_parameters())
    sampling = model.model.model_sampling
    base, other = model, v_prediction(pack, with_lora(model, 1))
    base = raising(base, action) if where == "base" else base
    other = raising(other, action) if where == "term" else other
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


# Hooks ---------------------------------------------------------------------------------------------------------------


def hooked(pack: Any, conditioning: list, model: Any, seed: int, keyframes: bool = False) -> list:
    """Conditioning with core's own Create Hook LoRA; with keyframes, its strength falls to 0 at half time."""
    name = lora_file(model, seed).name
    (hooks,) = pack.run("CreateHookLora", lora_name=name, strength_model=0.8, strength_clip=1.0)
    if keyframes:
        (frames,) = pack.run("CreateHookKeyframe", strength_mult=1.0, start_percent=0.0)
        (frames,) = pack.run("CreateHookKeyframe", strength_mult=0.0, start_percent=0.5, prev_hook_kf=frames)
        (hooks,) = pack.run("SetHookKeyframes", hooks=hooks, hook_kf=frames)
    inputs = {"cond_NEW": conditioning, "strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    return pack.run("ConditioningSetProperties", **inputs)[0]


def as_loaded(model: Any, seed: int, sigma: float, keyframes: bool = False) -> Any:
    """The model that ``hooked`` stands for at this sigma, its LoRA loaded as a node would."""
    strength = 0.0 if keyframes and sigma <= half_time(model) else 0.8
    return with_lora(model, seed, strength)


def half_time(model: Any) -> float:
    return model.get_model_object("model_sampling").percent_to_sigma(0.5)


HOOKED = ["base condition", "positive on the base", "other model", "variant", "everywhere"]


@pytest.mark.parametrize("keyframes", [False, True], ids=["constant", "keyframes"])
@pytest.mark.parametrize("where", HOOKED)
def test_weight_hooks_work_on_every_side(pack: Any, where: str, keyframes: bool) -> None:
    model, other = micro_model(0), micro_model(5)
    before = state_of(model)

    def hook(name: str, conditioning: list, seed: int) -> list:
        return hooked(pack, conditioning, model, seed, keyframes) if where in (name, "everywhere") else conditioning

    base = hook("base condition", micro_cond(0), 1)
    sides = [
        (None, hook("positive on the base", micro_cond(1), 2)),
        (other, hook("other model", micro_cond(2), 3)),
        (with_lora(model, 9), hook("variant", micro_cond(3), 3)),
    ]
    terms = [{"positive": cond, "weight": 2.0} | ({} if m is None else {"model": m}) for m, cond in sides]
    assert min(SIGMAS) < half_time(model) < sorted(SIGMAS)[1]
    ours = guided(gcfg(pack, model, base, *terms), points(), SIGMAS)

    expected = []
    for x, sigma in zip(points(), SIGMAS, strict=True):

        def ask(name: str, made: Any, cond: list, seed: int, x: Tensor = x, sigma: float = sigma) -> Tensor:
            made = as_loaded(made, seed, sigma, keyframes) if where in (name, "everywhere") else made
            return denoised(made, cond, x, sigma)

        zero = ask("base condition", micro_model(0), micro_cond(0), 1)
        total = zero + 2.0 * (ask("positive on the base", micro_model(0), micro_cond(1), 2) - zero)
        total = total + 2.0 * (ask("other model", micro_model(5), micro_cond(2), 3) - zero)
        expected.append(total + 2.0 * (ask("variant", with_lora(micro_model(0), 9), micro_cond(3), 3) - zero))
    error = relative_error(ours, expected)
    print(f"hooks on {where}: relative error {error:.1e}")
    assert error <= LIMIT
    comfy.model_management.unload_all_models()
    assert_same_state(model, before)


def test_one_hooked_condition_serves_two_models(pack: Any) -> None:
    """Keyframes step forward when one model is asked; the other must see its own steps."""
    model = micro_model(0)
    cond = hooked(pack, micro_cond(1), model, 2, keyframes=True)
    terms = [
        {"model": with_lora(model, 9), "positive": cond, "weight": 2.0},
        {"model": micro_model(5), "positive": cond, "weight": 1.0},
        {"positive": cond, "weight": -1.0},
    ]
    ours = guided(gcfg(pack, model, micro_cond(0), *terms), points(), SIGMAS)
    expected = []
    for x, sigma in zip(points(), SIGMAS, strict=True):
        zero = denoised(micro_model(0), micro_cond(0), x, sigma)
        total = zero
        for weight, made in ((2.0, with_lora(micro_model(0), 9)), (1.0, micro_model(5)), (-1.0, micro_model(0))):
            side = denoised(as_loaded(made, 2, sigma, keyframes=True), micro_cond(1), x, sigma)
            total = total + weight * (side - zero)
        expected.append(total)
    assert relative_error(ours, expected) <= LIMIT


# Weights that are not plain tensors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["fp8_e4m3fn", "fp8_e5m2"])
@pytest.mark.parametrize("graph", ["base and LoRA", "LoRA base, plain term", "LoRA base, other LoRA"])
def test_fp8_models_go_through(pack: Any, graph: str, dtype: str) -> None:
    def load() -> Any:
        return pack.run("UNETLoader", unet_name=tiny_unet("sd15").name, weight_dtype=dtype)[0]

    on_base, on_terms = GRAPHS[graph]
    model = load()
    before = state_of(model)
    base, (other,) = on_base(pack, model), [change(pack, model) for change in on_terms]
    x, sigma, conds = points((3.0,), size=16), (3.0,), [tiny_cond("sd15", i) for i in range(2)]
    ours = guided(gcfg(pack, base, conds[0], {"model": other, "positive": conds[1], "weight": 2.0}), x, sigma)
    zero = denoised(on_base(pack, load()), conds[0], x[0], 3.0)
    side = denoised(on_terms[0](pack, load()), conds[1], x[0], 3.0)
    assert relative_error(ours, [zero + (side - zero) * 2.0]) <= LIMIT
    assert {value.dtype for value in model.model.diffusion_model.state_dict().values()} >= {getattr(torch, {
        "fp8_e4m3fn": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}[dtype])}  # fmt: skip
    comfy.model_management.unload_all_models()
    assert_same_state(model, before)


@pytest.mark.parametrize("graph", GRAPHS)
def test_partly_offloaded_models_go_through(pack: Any, graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = separate_files(pack, graph)
    comfy.model_management.unload_all_models()
    load = comfy.model_patcher.ModelPatcher.partially_load

    def load_half(self: Any, device_to: Any, extra_memory: float = 0, *args: Any, **kwargs: Any) -> Any:
        return load(self, device_to, self.model_size() * 0.5, *args, **kwargs)

    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "partially_load", load_half)
    on_base, on_terms = GRAPHS[graph]
    model = micro_model()
    before = state_of(model)
    base, models = on_base(pack, model), [change(pack, model) for change in on_terms]
    guider, seen = gcfg(pack, base, micro_cond(0), *terms_of(models)), []

    def note(ask: Any, k: int) -> Any:
        modules = [module for module in model.model.modules() if getattr(module, "weight_function", [])]
        seen.append((model.model.model_lowvram, len(modules)))
        return ask

    ours = guided(guider, points(), SIGMAS, note)
    assert all(lowvram for lowvram, _ in seen), "the model was loaded completely"
    assert not base.patches or all(count for _, count in seen), "no weight is patched while it is cast"
    assert relative_error(ours, expected) <= LIMIT
    assert all(map(torch.equal, ours, guided(guider, points(), SIGMAS)))
    comfy.model_management.unload_all_models()
    assert_same_state(model, before)


@pytest.mark.parametrize("graph", GRAPHS)
def test_patches_that_hang_on_the_tensor_go_through(pack: Any, graph: str) -> None:
    on_base, on_terms = GRAPHS[graph]
    expected = separate_files(pack, graph, packed_model)
    model = packed_model()
    handles = dict(model.model.named_parameters())
    base, models = on_base(pack, model), [change(pack, model) for change in on_terms]
    guider = gcfg(pack, base, micro_cond(0), *terms_of(models))
    ours = guided(guider, points(), SIGMAS)
    assert relative_error(ours, expected) <= LIMIT
    assert all(map(torch.equal, ours, guided(guider, points(), SIGMAS)))
    comfy.model_management.unload_all_models()
    assert not any(getattr(value, "patches", []) for value in model.model.parameters())
    assert not any(getattr(value, "patches", []) for value in handles.values())
