"""Load Concept Model, the node: its folders, the files it takes, and clear refusals of those it does not."""

import os

import comfy.sd
import folder_paths
import pytest
import torch
import utils.extra_config
from safetensors.torch import load_file, save_file

from rigs.null_text import SMALL, concept_path, metadata_of
from rigs.tiny import tiny_cond, tiny_unet


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty models/gcfg_concepts."""
    extensions = folder_paths.folder_names_and_paths["gcfg_concepts"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "gcfg_concepts", ([str(tmp_path)], extensions))
    folder_paths.filename_list_cache.clear()
    yield tmp_path
    folder_paths.filename_list_cache.clear()


def test_an_ordinary_model_goes_through_comfyuis_own_loader(load_concept):
    path = tiny_unet("sd15")
    ours, theirs = load_concept(path), comfy.sd.load_diffusion_model(str(path))
    assert type(ours.model) is type(theirs.model)
    x, sigma = torch.randn(1, 4, 16, 16), torch.tensor([2.0])
    text = tiny_cond("sd15")[0][0]
    assert torch.equal(
        ours.model.apply_model(x, sigma, c_crossattn=text), theirs.model.apply_model(x, sigma, c_crossattn=text)
    )


@pytest.mark.parametrize(
    "case", ["newer", "lora", "truncated", "foreign", "pickle", "misshapen", "vae", "absent", "text"]
)
def test_bad_files_get_a_clear_error_that_names_the_input(pack, folder, case):
    path = concept_path(folder, SMALL["sd15"], "a")
    tensors = load_file(path)
    metadata = metadata_of(path)
    name = "a.safetensors"
    message = {
        "newer": "newer format 2.*Update this node pack",
        "lora": "gcfg.unet_config: expected a JSON object",
        "truncated": "incomplete or damaged",
        "foreign": "a LoRA.* that ComfyUI does not recognise as a model",
        "vae": "does not recognise as a model",
        "pickle": "pickle that needs code.*It was not run",
        "misshapen": r"conv_in.bias of shape \[32\], got shape \[31\]",
        "absent": "no file of this name.*Put it there",
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


def test_another_file_under_the_same_name_is_loaded_again(pack, folder, monkeypatch, tmp_path_factory):
    """ComfyUI runs the node again when its fingerprint changes: with the file's time, its size or its folder."""
    node, models = pack.node("GCFG_LoadConceptModel"), tmp_path_factory.mktemp("diffusion_models")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(models)], {".safetensors"}))
    path = folder / "a.safetensors"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    prints = [node.fingerprint_inputs(concept_name=path.name) for _ in range(2)]
    assert prints[0] == prints[1]
    os.utime(path, (2, 2))
    prints.append(node.fingerprint_inputs(concept_name=path.name))
    path.write_bytes(b"three")
    os.utime(path, (2, 2))
    prints.append(node.fingerprint_inputs(concept_name=path.name))
    path.rename(models / path.name)
    folder_paths.filename_list_cache.clear()
    prints.append(node.fingerprint_inputs(concept_name=path.name))
    assert len(set(prints)) == 4


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
    module = pack.module("nodes.loading.model_folders")
    monkeypatch.setattr(module, "STARTER", tmp_path / "nothing shipped")
    module.register_model_folders()
    module.register_model_folders()
    paths = folder_paths.get_folder_paths("gcfg_concepts")
    assert paths == [str(tmp_path / "shared"), os.path.join(folder_paths.models_dir, "gcfg_concepts")]
    assert folder_paths.get_filename_list("gcfg_concepts") == ["theirs.safetensors"]
    folder_paths.filename_list_cache.clear()
