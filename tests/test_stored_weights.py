"""Clones of one model whose weights are quantized, partly offloaded, or carry their patches themselves."""

from typing import Any

import comfy.model_management
import comfy.model_patcher
import pytest
import torch

from rigs.graphs import SIGMAS, gcfg, points, relative_error
from rigs.micro import micro_cond, micro_model
from rigs.packed import packed_model
from rigs.probe import denoised, guided
from rigs.tiny import tiny_cond, tiny_unet
from rigs.variants import GRAPHS, assert_same_state, expected_sum, separate_variants, state_of, terms_of, variants

LIMIT = 1e-5
pytestmark = pytest.mark.usefixtures("model_files")


@pytest.mark.parametrize("dtype", ["fp8_e4m3fn", "fp8_e5m2"])
@pytest.mark.parametrize("graph", ["base and LoRA", "LoRA base, plain term", "LoRA base, other LoRA"])
def test_fp8_models_go_through(pack: Any, graph: str, dtype: str) -> None:
    def load() -> Any:
        return pack.run("UNETLoader", unet_name=tiny_unet("sd15").name, weight_dtype=dtype)[0]

    model = load()
    before = state_of(model)
    base, (other,) = variants(pack, graph, model)
    x, sigma, conds = points((3.0,), size=16), (3.0,), [tiny_cond("sd15", i) for i in range(2)]
    ours = guided(gcfg(pack, base, conds[0], {"model": other, "positive": conds[1], "weight": 2.0}), x, sigma)
    base_file, (other_file,) = separate_variants(pack, graph, load)
    zero, side = denoised(base_file, conds[0], x[0], 3.0), denoised(other_file, conds[1], x[0], 3.0)
    assert relative_error(ours, [zero + (side - zero) * 2.0]) <= LIMIT
    assert {value.dtype for value in model.model.diffusion_model.state_dict().values()} >= {getattr(torch, {
        "fp8_e4m3fn": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}[dtype])}  # fmt: skip
    comfy.model_management.unload_all_models()
    assert_same_state(model, before)


@pytest.mark.parametrize("graph", GRAPHS)
def test_partly_offloaded_models_go_through(pack: Any, graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = expected_sum(*separate_variants(pack, graph))
    comfy.model_management.unload_all_models()
    load = comfy.model_patcher.ModelPatcher.partially_load

    def load_half(self: Any, device_to: Any, extra_memory: float = 0, *args: Any, **kwargs: Any) -> Any:
        return load(self, device_to, self.model_size() * 0.5, *args, **kwargs)

    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "partially_load", load_half)
    model = micro_model()
    before = state_of(model)
    base, models = variants(pack, graph, model)
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
    expected = expected_sum(*separate_variants(pack, graph, packed_model))
    model = packed_model()
    handles = dict(model.model.named_parameters())
    base, models = variants(pack, graph, model)
    guider = gcfg(pack, base, micro_cond(0), *terms_of(models))
    ours = guided(guider, points(), SIGMAS)
    assert relative_error(ours, expected) <= LIMIT
    assert all(map(torch.equal, ours, guided(guider, points(), SIGMAS)))
    comfy.model_management.unload_all_models()
    assert not any(getattr(value, "patches", []) for value in model.model.parameters())
    assert not any(getattr(value, "patches", []) for value in handles.values())
