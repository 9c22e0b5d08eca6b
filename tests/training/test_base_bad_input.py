"""What is no base, and each thing that can be wrong with one: one line that says what it is."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from train_rigs.bases import SINGLE_FILE_WIDTH, tiny_base

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.null_text import remove_text_attention
from gcfg_core.errors import InputError
from training.base.read import read_base

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("original")
    return tiny_base("sd15", place / "tokenizers").save_folder(place / "folder")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "folder"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoint")
    return tiny_base("sd15", place / "tokenizers", SINGLE_FILE_WIDTH).save_file(place / "one.safetensors")


def refused(path: Path, *words: str) -> None:
    """It is an InputError of one line that says all of these."""
    with pytest.raises(InputError) as caught:
        read_base(str(path))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert re.search(word, message), message


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "nothing there", "model hub is never asked")


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "unet/")


def test_a_part_of_a_folder(folder: Path) -> None:
    refused(folder / "unet", "Give the folder above")


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_a_missing_part(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    refused(folder, f"{part}.config.json", "nothing there")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_missing_and_torn_weights(folder: Path, part: str) -> None:
    path = next((folder / part).glob("*.safetensors"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(folder, path.name, "incomplete or damaged")
    path.unlink()
    refused(folder, part, "weights")


def test_a_missing_shard(tmp_path: Path) -> None:
    tiny = tiny_base("sd15", tmp_path / "tokenizers")
    folder = tiny.save_folder(tmp_path / "folder", max_shard_size="40KB")
    next((folder / "unet").glob("*-00001-of-*.safetensors")).unlink()
    refused(folder, "00001-of", "no file of this name")


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_broken_configuration(folder: Path, text: str) -> None:
    (folder / "unet" / "config.json").write_text(text, encoding="utf-8")
    refused(folder, "config.json", "JSON object")


def test_a_unet_of_another_family(folder: Path) -> None:
    path = folder / "unet" / "config.json"
    change_json(path, class_embed_type="projection")
    refused(folder, "class_embed_type")
    change_json(path, class_embed_type=None, _class_name="UNet3DConditionModel")
    refused(folder, "UNet3DConditionModel")


def test_weights_of_another_size(folder: Path) -> None:
    change_json(folder / "unet" / "config.json", block_out_channels=[32, 64])
    refused(folder, "UNet", "shape|lacks", "configuration")


def test_an_inpainting_unet(folder: Path) -> None:
    change_json(folder / "unet" / "config.json", in_channels=9)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.weight"] = torch.zeros(32, 9, 3, 3)
    save_file(tensors, path)
    refused(folder, "in_channels", "Inpainting")


def test_other_vaes_and_text_encoders(folder: Path, original: Path) -> None:
    change_json(folder / "vae" / "config.json", _class_name="AutoencoderTiny")
    refused(folder, "AutoencoderTiny")
    shutil.copy2(original / "vae" / "config.json", folder / "vae" / "config.json")
    change_json(folder / "text_encoder" / "config.json", architectures=["T5EncoderModel"])
    refused(folder, "T5EncoderModel")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatch"),
        ({"_class_name": "EDMEulerScheduler"}, "EDM"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "squaredcos_cap_v2"),
        ({"prediction_type": "sample"}, "sample"),
    ],
)
def test_other_schedules(folder: Path, change: dict[str, Any], word: str) -> None:
    change_json(folder / "scheduler" / "scheduler_config.json", **change)
    refused(folder, word)


def test_a_pickle_that_needs_code_is_not_run(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.unlink()
    ran = folder / "ran"
    torch.save({"conv_in.weight": _Evil(str(ran))}, path.with_suffix(".bin"))
    refused(folder, "pickle that needs code")
    assert not ran.exists()


class _Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (self.path, "w")


def test_a_torn_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.safetensors"
    content = checkpoint.read_bytes()
    for length in (0, 5, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refused(path, "torn.safetensors", "incomplete or damaged")


@pytest.mark.parametrize(
    ("dropped", "words"),
    [
        ("model.diffusion_model.middle_block.0.", ("UNet", "lacks")),
        ("model.diffusion_model.", ("got a VAE",)),
        ("first_stage_model.", ("AutoencoderKL", "none")),
        ("first_stage_model.decoder.mid.block_1", ("VAE", "lacks")),
        ("cond_stage_model.", ("text encoder",)),
    ],
)
def test_a_checkpoint_that_lacks_something(
    checkpoint: Path, tmp_path: Path, dropped: str, words: tuple[str, ...]
) -> None:
    tensors = load_file(checkpoint)
    save_file(
        {key: value for key, value in tensors.items() if not key.startswith(dropped)}, tmp_path / "less.safetensors"
    )
    refused(tmp_path / "less.safetensors", *words)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("encoder.down.0.block.0.conv1.weight", "a VAE"),
        ("encoder.down_blocks.0.resnets.0.conv1.weight", "a VAE"),
        ("down_blocks.0.resnets.0.conv1.weight", "a UNet alone"),
        ("lora_unet_down_blocks_0.lora_up.weight", "a LoRA"),
        ("control_model.input_blocks.0.0.weight", "a ControlNet"),
        ("text_model.encoder.layers.0.mlp.fc1.weight", "a text encoder"),
        ("model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight", "another kind of diffusion model"),
        ("something", "something"),
    ],
)
def test_other_files_by_name(tmp_path: Path, name: str, kind: str) -> None:
    save_file({name: torch.zeros(1)}, tmp_path / "other.safetensors")
    refused(tmp_path / "other.safetensors", f"got {kind}")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("notes.txt", b"a list of prompts\n", "a text file"),
        ("notes.safetensors", "ein Satz \u00fcber Bilder".encode() * 40, "a text file"),
        ("page.safetensors", b"<!DOCTYPE html><html>", "a web page"),
        ("model.ckpt", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        ("model.gguf", b"GGUF\x03\0\0\0" + bytes(50), "a GGUF file"),
        ("cat.jpg", b"\xff\xd8\xff\xe0" + bytes(50), "a picture"),
        ("movie.mp4", b"\0\0\0\x18ftypmp42" + bytes(100), "a file of another kind"),
        ("empty.txt", b"", "a file of another kind"),
    ],
)
def test_files_that_hold_no_tensors(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, name, f"got {kind}", "not a file of tensors", "diffusers folder", "world's folder")


@pytest.mark.parametrize("name", ["torn.ckpt", "torn.safetensors"])
def test_a_damaged_file_is_still_called_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(128, 256)) * 8)
    refused(tmp_path / name, "damaged")


def test_heads_that_no_shape_tells(tmp_path: Path) -> None:
    path = tiny_base("sd15", tmp_path / "tokenizers").save_file(tmp_path / "small.safetensors")
    refused(path, "attention heads")


def test_a_concept_is_no_base(tmp_path: Path) -> None:
    tiny = tiny_base("sd15", tmp_path / "tokenizers")
    unet = remove_text_attention(tiny.pipeline.unet)
    config = {k: v for k, v in dict(tiny.pipeline.unet.config).items() if v is not None and not k.startswith("_")}
    write_concept(tmp_path / "concept.safetensors", Concept(unet.state_dict(), config))
    refused(tmp_path / "concept.safetensors", "concept checkpoint")


def test_reading_a_base_needs_no_comfyui(original: Path) -> None:
    """A fresh interpreter outside this folder's paths: nothing of a host is imported."""
    code = (
        "import sys; from training.base.read import read_base; read_base(sys.argv[1]);"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'comfy', 'nodes', 'folder_paths', 'server'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(original)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
