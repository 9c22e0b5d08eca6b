"""Clones of one model whose weights are stored in a quantized form give the numbers of separately loaded files."""

from typing import Any

import comfy.model_management
import comfy.model_patcher
import pytest
from torch import Tensor

from rigs.graphs import SIGMAS, gcfg, norm_error, points, relative_error
from rigs.probe import denoised, guided
from rigs.quantized import FORMS, quantized_cond, quantized_model
from rigs.variants import both, compute_dtype, lora, plain

NATIVE = [name for name in FORMS if name not in ("nvfp4", "mxfp8")]
"""Forms whose own products a CPU computes; the others are unpacked first, whatever a clone says."""


@pytest.fixture(autouse=True)
def native_fp8(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ComfyUI's --supports-fp8-compute: fp8 weights are multiplied as they are stored."""
    monkeypatch.setattr(comfy.model_management, "SUPPORT_FP8_OPS", True)


CHANGES = {
    "LoRA": (plain, lora(1)),
    "compute dtype": (plain, compute_dtype("bf16")),
    "the same dtype": (plain, compute_dtype("fp32")),
    "compute dtype of the base": (compute_dtype("bf16"), plain),
    "compute dtype and LoRA": (lora(1), both(lora(2), compute_dtype("bf16"))),
    "two compute dtypes": (compute_dtype("fp32"), compute_dtype("bf16")),
}
"""Changes of the base, and of the clone of it that is the term's model."""


def answers(pack: Any, base: Any, other: Any) -> list[Tensor]:
    term = {"model": other, "positive": quantized_cond(1), "weight": 2.0}
    return guided(gcfg(pack, base, quantized_cond(0), term), points(), SIGMAS)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", FORMS)
def test_equals_separate_files(pack: Any, form: str, change: str) -> None:
    """H5: what makes a layer unpack its weights is the clone's own, too."""
    on_base, on_term = CHANGES[change]
    model = quantized_model(form)
    ours = answers(pack, on_base(pack, model), on_term(pack, model))
    files = answers(pack, on_base(pack, quantized_model(form)), on_term(pack, quantized_model(form)))
    assert relative_error(ours, files) == 0.0
    again = answers(pack, on_base(pack, model), on_term(pack, model))
    assert relative_error(ours, again) == 0.0, "the first run left something behind"


@pytest.mark.parametrize("form", NATIVE)
def test_the_compute_dtype_decides_how_a_weight_is_multiplied(pack: Any, form: str) -> None:
    """Without this difference the tests above could not fail."""
    x, sigma = points()[0], SIGMAS[0]
    clone = compute_dtype("bf16")(pack, quantized_model(form))
    forced = denoised(clone, quantized_cond(1), x, sigma)
    clone.force_cast_weights, clone.patches_uuid = False, object()
    native = denoised(clone, quantized_cond(1), x, sigma)
    print(f"{form}: {norm_error(native, forced):.1e}")
    assert norm_error(native, forced) > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_a_clone_of_a_partly_offloaded_model_is_a_file_that_is_loaded(
    pack: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H9: ComfyUI's own numbers change with offloading. The base has those, a clone of it those of a loaded file."""

    def graphs(shared: Any, first: Any, second: Any) -> tuple[list[Tensor], list[Tensor]]:
        """Answers with a LoRA on the term's model, and with one on the base."""
        on_term = answers(pack, shared or first, lora(1)(pack, shared or second))
        comfy.model_management.unload_all_models()
        on_base = answers(pack, lora(1)(pack, shared or first), shared or second)
        comfy.model_management.unload_all_models()
        return on_term, on_base

    loaded = graphs(None, quantized_model(form), quantized_model(form))
    load = comfy.model_patcher.ModelPatcher.partially_load

    def load_little(self: Any, device_to: Any, extra_memory: float = 0, *args: Any, **kwargs: Any) -> Any:
        return load(self, device_to, self.model_size() * 0.02, *args, **kwargs)

    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "partially_load", load_little)
    offloaded = graphs(None, quantized_model(form), quantized_model(form))
    ours = graphs(quantized_model(form), None, None)
    assert relative_error(ours[0], loaded[0]) == 0.0
    assert relative_error(ours[1], offloaded[1]) == 0.0
    assert relative_error(offloaded[0], loaded[0]) > 0.0, "offloading changes nothing, so this says nothing"
