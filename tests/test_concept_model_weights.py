"""What a loaded concept keeps in memory: only the layers of its file, in the dtype that was asked for."""

import gc

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.families import layout_of
from gcfg_core.concept.unet_tensors import tensor_shapes
from rigs.graphs import norm_error
from rigs.null_text import SMALL, concept_path, denoised_by_concept, make_concept
from rigs.tiny import tiny_cond, tiny_latent, tiny_unet


@pytest.mark.parametrize("name", list(SMALL))
def test_there_are_no_text_layers(load_concept, tmp_path, name):
    model = load_concept(concept_path(tmp_path, SMALL[name])).model
    names = dict(model.diffusion_model.named_parameters())
    expected = tensor_shapes(layout_of(SMALL[name]), null_text=True)
    assert sorted(tuple(p.shape) for p in names.values()) == sorted(expected.values())
    assert not [key for key in names if "attn2.to_" in key or ("transformer_blocks" in key and ".norm2." in key)]
    assert not [key for key, p in model.named_parameters() if p.is_meta]


class _Allocations(TorchDispatchMode):
    """Bytes of every new storage made on a real device."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.alive:
                    self.alive[storage.data_ptr()] = storage.nbytes()
                    self.total += storage.nbytes()
        return out


def test_building_allocates_the_files_tensors_and_no_more(pack, tmp_path):
    concept = pack.module("gcfg_core.concept.concept_file").read_concept(concept_path(tmp_path, SMALL["sd15"]))
    tensors = {key: value.clone() for key, value in concept.tensors.items()}
    concept = pack.module("gcfg_core.concept.concept_file").Concept(tensors=tensors, config=SMALL["sd15"])
    gc.collect()
    with _Allocations() as seen:
        patcher = pack.module("nodes.loading.concept_model").build_concept_model(concept)
    weights = sum(value.nbytes for value in tensors.values())
    text = sum(torch.Size(s).numel() for s in tensor_shapes(layout_of(SMALL["sd15"]), null_text=False).values()) * 4
    assert weights < 0.97 * text
    assert patcher.model_size() == pytest.approx(weights, rel=0.01)
    assert weights <= seen.total <= 1.01 * weights + 500_000, (seen.total, weights)


@pytest.mark.parametrize("weight_dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_fp8_weights_load_and_sample(pack, load_concept, tmp_path, weight_dtype, name):
    path = concept_path(tmp_path, SMALL[name])
    full, small = load_concept(path), load_concept(path, weight_dtype)
    parameters = dict(small.model.diffusion_model.named_parameters())
    kept = {key: p for key, p in parameters.items() if key.endswith("null_text_feature")}
    assert kept and all(p.dtype == torch.float32 for p in kept.values())
    wanted = torch.float8_e5m2 if weight_dtype == "fp8_e5m2" else torch.float8_e4m3fn
    assert {p.dtype for key, p in parameters.items() if key not in kept} == {wanted}
    assert small.model_size() < 0.27 * full.model_size()
    results = [
        pack.run(
            "KSampler", model=m, seed=1, steps=2, cfg=1.0, sampler_name="euler", scheduler="normal", denoise=1.0,
            positive=tiny_cond("sdxl"), negative=tiny_cond("sdxl"), latent_image=tiny_latent("sd15"),
        )[0]["samples"]
        for m in (full, small)
    ]  # fmt: skip
    assert 0 < norm_error(results[1], results[0]) < 0.2


def test_half_precision_files_load_as_comfyui_loads_them(load_concept, tmp_path):
    concept = make_concept(SMALL["sd15"])
    halves = {key: value.half() for key, value in concept.tensors.items()}
    write_concept(tmp_path / "a.safetensors", Concept(tensors=halves, config=concept.config))
    plain = {f"model.diffusion_model.{k}": v.half() for k, v in load_file(tiny_unet("sd15")).items()}
    save_file(plain, tmp_path / "b.safetensors")
    ours, theirs = (load_concept(tmp_path / f"{name}.safetensors").model for name in "ab")
    assert ours.get_dtype() == theirs.get_dtype()


def test_files_stored_in_fp8_load(load_concept, tmp_path):
    concept = make_concept(SMALL["sd15"])
    small = {key: value.to(torch.float8_e4m3fn) for key, value in concept.tensors.items()}
    write_concept(tmp_path / "a.safetensors", Concept(tensors=small, config=concept.config))
    model = load_concept(tmp_path / "a.safetensors").model
    x, sigma = torch.randn(1, 4, 16, 16), torch.tensor([2.0])
    full = load_concept(concept_path(tmp_path, SMALL["sd15"], "b")).model
    assert 0 < norm_error(denoised_by_concept(model, x, sigma), denoised_by_concept(full, x, sigma)) < 0.2


def test_a_partly_loaded_model_gives_the_same(load_concept, tmp_path):
    patcher = load_concept(concept_path(tmp_path, SMALL["sdxl"]))
    x, sigma = torch.randn(1, 4, 16, 16), torch.tensor([2.0])
    before = denoised_by_concept(patcher.model, x, sigma)
    patcher.load(patcher.load_device, lowvram_model_memory=patcher.model_size() // 4)
    assert patcher.model.model_lowvram
    assert torch.equal(denoised_by_concept(patcher.model, x, sigma), before)


def test_newer_hosts_can_load_it_again(load_concept, tmp_path):
    patcher = load_concept(concept_path(tmp_path, SMALL["sd15"]))
    factory, arguments = patcher.cached_patcher_init
    again = factory(*arguments, disable_dynamic=True)
    assert again.model is not patcher.model
    ours, theirs = patcher.model.state_dict(), again.model.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
