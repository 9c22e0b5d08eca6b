"""Load Concept Model on a real ComfyUI: the same numbers as diffusers, and only the layers that the file has."""

import gc
import os

import comfy.sd
import folder_paths
import pytest
import torch
import utils.extra_config
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from gcfg_core.architectures import CONFIGS
from gcfg_core.concept_file import Concept, write_concept
from gcfg_core.unet_layout import layout_of
from gcfg_core.unet_tensors import tensor_shapes
from rigs.null_text import (
    SMALL,
    WIDE,
    as_denoised,
    authors_unet,
    concept_path,
    forget_concepts,
    make_concept,
    relative_error,
    sdxl_constants,
    text_unet,
    unet_inputs,
)
from rigs.tiny import tiny_cond, tiny_latent, tiny_unet

CASES = [
    ("sd15", "epsilon", False),
    ("sd2", "epsilon", False),
    ("sd2", "v_prediction", False),
    ("sdxl", "epsilon", False),
    ("sdxl", "v_prediction", True),
]


@pytest.fixture
def load(pack):
    """The loader behind the node: path, weight dtype -> ModelPatcher."""
    loader = pack.module("nodes.runtime.concept_loader")
    return lambda path, weight_dtype="default": loader.load_model_file(str(path), weight_dtype)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty models/gcfg_concepts."""
    extensions = folder_paths.folder_names_and_paths["gcfg_concepts"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_concepts", ([str(tmp_path)], extensions))
    folder_paths.filename_list_cache.clear()
    yield tmp_path
    folder_paths.filename_list_cache.clear()


def network_output(model, x, sigma, **conds):
    """What the network itself predicts inside ComfyUI (epsilon or v), through apply_model."""
    y = model.extra_conds(device="cpu", noise=x, **conds).get("y")
    rest = {} if y is None else {"y": y.cond.repeat(x.shape[0], 1)}
    return model.apply_model(x, sigma, c_crossattn=torch.randn(x.shape[0], 77, 99), **rest)


def compare(model, twin, config, v=False):
    """Relative error of ComfyUI's prediction against the diffusers twin's, the shared part (the latent) taken off."""
    x = torch.randn(2, config["in_channels"], 16, 24, generator=torch.Generator().manual_seed(3)) * 5
    sigma = model.model_sampling.sigma(torch.tensor([100.0, 700.0]))
    given = {key: value for key, value in unet_inputs(config).items() if key not in ("sample", "timestep")}
    expected = as_denoised(lambda scaled, t: twin(scaled, t, **given).sample, model, x, sigma, v)
    shared = x / (sigma.view(-1, 1, 1, 1) ** 2 + 1) if v else x
    return relative_error(network_output(model, x, sigma) - shared, expected - shared)


@pytest.mark.parametrize("name, prediction, zero_snr", CASES)
def test_same_file_gives_the_same_output_in_diffusers_and_here(load, tmp_path, name, prediction, zero_snr):
    config = SMALL[name]
    path = concept_path(tmp_path, config, prediction_type=prediction, zero_terminal_snr=zero_snr)
    twin = authors_unet(config, {key: value for key, value in load_file(path).items() if not key.startswith("gcfg.")})
    model = load(path).model
    assert model.get_dtype() == torch.float32
    error = compare(model, twin, config, prediction == "v_prediction")
    print(f"{name} {prediction}: relative error {error:.1e}")
    assert error <= 1e-4
    assert (float(model.model_sampling.sigma_max) > 1000) == zero_snr


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt"])
@pytest.mark.parametrize("name", list(WIDE))
def test_the_authors_own_files_load(load, tmp_path, suffix, name):
    tensors = dict(make_concept(WIDE[name]).tensors)
    path = tmp_path / f"unet{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(tensors, path)
    x = torch.randn(2, 4, 16, 16)
    config = WIDE[name]
    inputs = unet_inputs(config)
    if name == "sdxl":  # a bare file brings no constants: zeros and 1024 x 1024
        ids = torch.tensor([[1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0]]).repeat(2, 1)
        inputs["added_cond_kwargs"] = {"text_embeds": torch.zeros(2, 1280), "time_ids": ids}
    given = {key: value for key, value in inputs.items() if key not in ("sample", "timestep")}
    model = load(path).model
    sigma = model.model_sampling.sigma(torch.tensor([100.0, 700.0]))
    twin = authors_unet(config, tensors)
    expected = as_denoised(lambda scaled, t: twin(scaled, t, **given).sample, model, x, sigma, False)
    assert relative_error(network_output(model, x, sigma) - x, expected - x) <= 1e-4


@pytest.mark.slow
def test_full_size_sd15_gives_the_same_output(load, tmp_path):
    config = CONFIGS["sd15"]
    path = concept_path(tmp_path, config)
    forget_concepts()
    model = load(path).model
    assert sum(p.numel() for p in model.diffusion_model.parameters()) == pytest.approx(815.5e6, rel=1e-4)
    twin = authors_unet(config, load_file(path))
    error = compare(model, twin, config)
    print(f"full SD1.5: relative error {error:.1e}")
    assert error <= 1e-4


# ---- only the layers that the file has ----


@pytest.mark.parametrize("name", list(SMALL))
def test_there_are_no_text_layers(load, tmp_path, name):
    model = load(concept_path(tmp_path, SMALL[name])).model
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
    concept = pack.module("gcfg_core.concept_file").read_concept(concept_path(tmp_path, SMALL["sd15"]))
    tensors = {key: value.clone() for key, value in concept.tensors.items()}
    concept = pack.module("gcfg_core.concept_file").Concept(tensors=tensors, config=SMALL["sd15"])
    gc.collect()
    with _Allocations() as seen:
        patcher = pack.module("nodes.runtime.concept_model").build_concept_model(concept)
    weights = sum(value.nbytes for value in tensors.values())
    text = sum(torch.Size(s).numel() for s in tensor_shapes(layout_of(SMALL["sd15"]), null_text=False).values()) * 4
    assert weights < 0.97 * text
    assert patcher.model_size() == pytest.approx(weights, rel=0.01)
    assert weights <= seen.total <= 1.01 * weights + 500_000, (seen.total, weights)


# ---- other files ----


def test_an_ordinary_model_goes_through_comfyuis_own_loader(load):
    path = tiny_unet("sd15")
    ours, theirs = load(path), comfy.sd.load_diffusion_model(str(path))
    assert type(ours.model) is type(theirs.model)
    x, sigma = torch.randn(1, 4, 16, 16), torch.tensor([2.0])
    text = tiny_cond("sd15")[0][0]
    assert torch.equal(
        ours.model.apply_model(x, sigma, c_crossattn=text), theirs.model.apply_model(x, sigma, c_crossattn=text)
    )


@pytest.mark.parametrize("name", list(SMALL))
def test_a_text_unet_of_any_size_is_built_from_its_description(load, tmp_path, name):
    config = SMALL[name]
    unet = text_unet(config)
    write_concept(tmp_path / "a.safetensors", Concept(tensors=unet.state_dict(), config=config, kind="unet"))
    model = load(tmp_path / "a.safetensors").model
    x, text = torch.randn(1, 4, 16, 16), torch.randn(1, 7, config["cross_attention_dim"])
    pooled, ids = sdxl_constants()
    sizes = dict(zip(("height", "width", "crop_h", "crop_w", "target_height", "target_width"), ids[0], strict=True))
    conds = model.extra_conds(device="cpu", noise=x, cross_attn=text, pooled_output=pooled, **sizes)
    sigma = model.model_sampling.sigma(torch.tensor([300.0]))
    got = model.apply_model(x, sigma, c_crossattn=text, **({"y": conds["y"].cond} if "y" in conds else {}))
    added = {"text_embeds": pooled, "time_ids": ids}
    expected = as_denoised(
        lambda scaled, t: unet(scaled, t, text, added_cond_kwargs=added).sample, model, x, sigma, False
    )
    assert relative_error(got - x, expected - x) <= 1e-4


@pytest.mark.parametrize(
    "case", ["newer", "lora", "truncated", "foreign", "pickle", "misshapen", "vae", "absent", "text"]
)
def test_bad_files_get_a_clear_error_that_names_the_input(pack, folder, case):
    path = concept_path(folder, SMALL["sd15"], "a")
    tensors = load_file(path)
    with safe_open(path, framework="pt") as handle:
        metadata = handle.metadata()
    name = "a.safetensors"
    message = {
        "newer": "newer format 2.*Update this node pack",
        "lora": "LoRA concepts are not supported by this version",
        "truncated": "incomplete or damaged",
        "foreign": "does not recognise as a model.*LoRA is not one",
        "vae": "does not recognise as a model",
        "pickle": "pickle that needs code.*It was not run",
        "misshapen": r"conv_in.bias of shape \[32\], got shape \[31\]",
        "absent": "nothing there.*Put it there",
        "text": "incomplete or damaged",
    }[case]
    if case == "newer":
        save_file(tensors, path, {**metadata, "gcfg.format": "2"})
    elif case == "lora":
        save_file({"x": torch.zeros(1)}, path, {"gcfg.format": "1", "gcfg.kind": "null-text-lora"})
    elif case == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif case == "foreign":
        save_file({"lora_unet_x.lora_up.weight": torch.zeros(4, 4)}, path)
    elif case == "vae":
        save_file({"decoder.conv_in.weight": torch.zeros(4, 4, 3, 3), "encoder.conv_in.bias": torch.zeros(4)}, path)
    elif case == "pickle":
        name = "a.pt"
        torch.save({"x": os.system}, folder / name)
    elif case == "misshapen":
        save_file({**tensors, "conv_in.bias": torch.zeros(31)}, path, metadata)
    elif case == "absent":
        path.unlink()
    else:
        path.write_text("some text")
    with pytest.raises(ValueError, match=f"Load Concept Model, input concept_name: {name}.*{message}") as caught:
        pack.run("GCFG_LoadConceptModel", concept_name=name)
    assert "\n" not in str(caught.value)


# ---- the node and its folder ----


def test_the_node_lists_both_folders_and_loads(pack, folder, monkeypatch, tmp_path_factory):
    models = tmp_path_factory.mktemp("diffusion_models")
    extensions = folder_paths.folder_names_and_paths["diffusion_models"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(models)], extensions))
    concept_path(folder, SMALL["sd15"], "mine")
    (models / "sub").mkdir()
    concept_path(models / "sub", SMALL["sdxl"], "other")
    concept_path(models, SMALL["sdxl"], "mine")  # hidden by the one in gcfg_concepts
    (folder / "notes.txt").write_text("no model")
    folder_paths.filename_list_cache.clear()
    inputs = pack.node("GCFG_LoadConceptModel").INPUT_TYPES()["required"]
    names = (
        inputs["concept_name"][1]["options"] if "options" in inputs["concept_name"][1] else inputs["concept_name"][0]
    )
    assert list(names) == ["mine.safetensors", os.path.join("sub", "other.safetensors")]
    assert all(spec[1]["tooltip"] for spec in inputs.values())
    (model,) = pack.run("GCFG_LoadConceptModel", concept_name="mine.safetensors")
    assert type(model.model.latent_format).__name__ == "SD15"
    (model,) = pack.run("GCFG_LoadConceptModel", concept_name=os.path.join("sub", "other.safetensors"))
    assert type(model.model.latent_format).__name__ == "SDXL"


def test_a_file_written_again_is_loaded_again(pack, folder):
    node = pack.node("GCFG_LoadConceptModel")
    path = concept_path(folder, SMALL["sd15"])
    first = node.fingerprint_inputs(concept_name=path.name)
    assert first == node.fingerprint_inputs(concept_name=path.name)
    os.utime(path, (1, 1))
    assert first != node.fingerprint_inputs(concept_name=path.name)


def test_extra_model_paths_yaml_still_counts(pack, tmp_path, monkeypatch):
    folders = {key: (list(v[0]), set(v[1])) for key, v in folder_paths.folder_names_and_paths.items()}
    folders.pop("gcfg_concepts")
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", folders)
    folder_paths.filename_list_cache.clear()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "theirs.safetensors").touch()
    (tmp_path / "shared" / "readme.txt").touch()
    config = tmp_path / "extra_model_paths.yaml"
    config.write_text(f"mine:\n  base_path: {tmp_path}\n  gcfg_concepts: shared\n")
    utils.extra_config.load_extra_path_config(str(config))  # ComfyUI does this before it imports custom nodes
    register = pack.module("nodes.runtime.concept_folder").register_concept_folder
    register()
    register()
    paths = folder_paths.get_folder_paths("gcfg_concepts")
    assert paths == [str(tmp_path / "shared"), os.path.join(folder_paths.models_dir, "gcfg_concepts")]
    assert folder_paths.get_filename_list("gcfg_concepts") == ["theirs.safetensors"]
    folder_paths.filename_list_cache.clear()


# ---- weights ----


@pytest.mark.parametrize("weight_dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_fp8_weights_load_and_sample(pack, load, tmp_path, weight_dtype, name):
    path = concept_path(tmp_path, SMALL[name])
    full, small = load(path), load(path, weight_dtype)
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
    assert 0 < relative_error(results[1], results[0]) < 0.2


def test_half_precision_files_load_as_comfyui_loads_them(load, tmp_path):
    concept = make_concept(SMALL["sd15"])
    halves = {key: value.half() for key, value in concept.tensors.items()}
    write_concept(tmp_path / "a.safetensors", Concept(tensors=halves, config=concept.config))
    plain = {f"model.diffusion_model.{k}": v.half() for k, v in load_file(tiny_unet("sd15")).items()}
    save_file(plain, tmp_path / "b.safetensors")
    assert load(tmp_path / "a.safetensors").model.get_dtype() == load(tmp_path / "b.safetensors").model.get_dtype()


def test_newer_hosts_can_load_it_again(load, tmp_path):
    patcher = load(concept_path(tmp_path, SMALL["sd15"]))
    factory, arguments = patcher.cached_patcher_init
    again = factory(*arguments, disable_dynamic=True)
    assert again.model is not patcher.model
    ours, theirs = patcher.model.state_dict(), again.model.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
