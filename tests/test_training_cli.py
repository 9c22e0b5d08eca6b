"""`python -m training inspect|convert`, run as programs of their own, without ComfyUI."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.families import layout_of
from gcfg_core.concept.lora import LoraConcept
from gcfg_core.concept.lora_file import write_lora_concept
from rigs.forked import Forked
from rigs.host import ROOT
from rigs.null_text import SMALL, WIDE, concept_path, make_concept, text_unet


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """The command line in a process of its own, forked from one that has imported what it needs."""
    with Forked("training", ("training.commands.inspect", "training.commands.convert"), environment()) as forked:
        yield forked.run


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "COMFYUI_PATH")}


def facts(text: str) -> dict[str, str]:
    return {line[:18].strip(): line[18:] for line in text.splitlines()}


def test_inspect_tells_what_a_file_is(run, tmp_path):
    path = concept_path(tmp_path, SMALL["sdxl"], prediction_type="v_prediction", zero_terminal_snr=True, title="Toons",
                        base="a base", training={"steps": 9})  # fmt: skip
    result = run("inspect", path)
    assert result.returncode == 0 and not result.stderr
    lines = facts(result.stdout)
    assert lines["kind"] == "null-text-unet" and lines["architecture"] == "custom" and lines["title"] == "Toons"
    assert lines["prediction type"] == "v_prediction" and lines["zero terminal SNR"] == "yes"
    assert (
        lines["latent format"] == "SDXL" and lines["base"] == "a base" and json.loads(lines["training"]) == {"steps": 9}
    )
    layers = sum(key.endswith("null_text_feature") for key in read_concept(path).tensors)
    assert lines["null-text layers"] == str(layers) and lines["stored as"] == "float32"
    assert "assumed" not in lines
    assert lines["loaded by"] == "Load Concept Model"
    assert lines["family"] == "sdxl, to be mixed with models of SDXL latents"


def test_a_small_worlds_concept_mixes_with_that_world(run):
    for name in ("world", "concepts/toon.safetensors"):
        family = facts(run("inspect", ROOT / "starter" / name).stdout)["family"]
        assert family == (
            "a small world's, PixelBlocks2 latents, to be mixed with that world, not with Stable Diffusion"
        )


def test_a_bare_file_of_a_small_world_has_the_worlds_latents(run, tmp_path):
    bare, back = tmp_path / "toon.safetensors", tmp_path / "back.safetensors"
    assert run("convert", ROOT / "starter" / "concepts" / "toon.safetensors", bare, "--bare").returncode == 0
    order = ("convert", bare, back, "--config", tmp_path / "toon.config.json", "--overwrite")
    assert "assumed: latent format PixelBlocks2, a small world's of 12 channels" in run(*order).stdout
    assert read_concept(back).latents == "PixelBlocks2"
    assert "latent format" not in run(*order, "--latent-format", "PixelBlocks2").stdout


def test_inspect_tells_what_loads_a_file(run, tmp_path):
    bare, text, small = (tmp_path / f"{name}.safetensors" for name in ("bare", "text", "small"))
    save_file(dict(make_concept(WIDE["sd15"]).tensors), bare)
    save_file(text_unet(WIDE["sd15"]).state_dict(), text)
    save_file(dict(make_concept(SMALL["sd2"]).tensors), small)
    (tmp_path / "config.json").write_text(json.dumps(SMALL["sd2"]))
    assert facts(run("inspect", bare).stdout)["loaded by"] == "Load Concept Model"
    assert facts(run("inspect", text).stdout)["loaded by"].endswith("or Load Diffusion Model")
    lines = facts(run("inspect", small, "--config", tmp_path / "config.json").stdout)
    assert lines["loaded by"].startswith("nothing yet: `convert` it") and lines["family"].startswith("sd2, ")
    factors = {"conv_in.lora_A.weight": torch.zeros(2, 4, 3, 3), "conv_in.lora_B.weight": torch.zeros(32, 2, 1, 1)}
    whole = make_concept(SMALL["sd15"])
    features = {key: value for key, value in whole.tensors.items() if key.endswith("null_text_feature")}
    factors["conv_in.lora_B.weight"] = torch.zeros(whole.config["block_out_channels"][0], 2, 1, 1)
    write_lora_concept(tmp_path / "lora.safetensors", LoraConcept(factors, features, whole.config, 2, 2.0, "My base"))
    lines = facts(run("inspect", tmp_path / "lora.safetensors").stdout)
    assert lines["loaded by"] == "Load Concept Model, with its base model connected (My base)"
    assert lines["as a LoRA"].startswith("of ComfyUI's Load LoRA, ") and lines["rank, alpha"] == "2, 2"  # T2


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_convert_makes_format_1_of_the_authors_files(run, tmp_path, suffix):
    tensors = dict(make_concept(WIDE["sd15"]).tensors)
    source, target = tmp_path / f"unet{suffix}", tmp_path / "concept.safetensors"
    (torch.save if suffix == ".bin" else save_file)(tensors, source)
    result = run("convert", source, target, "--title", "Faces", "--base", "SD1.5")
    assert result.returncode == 0, result.stderr
    assert "assumed: prediction type epsilon" in result.stdout
    made = read_concept(target)
    assert not made.assumptions and made.title == "Faces" and made.base == "SD1.5"
    assert layout_of(made.config) == layout_of(WIDE["sd15"])
    assert all(torch.equal(made.tensors[key], value) for key, value in tensors.items())
    assert made.training["converted_from"]["name"] == source.name
    again = run("convert", source, target)
    assert again.returncode == 2 and "--overwrite" in again.stderr
    result = run("convert", source, target, "--overwrite", "--prediction-type", "v_prediction", "--zero-terminal-snr")
    assert result.returncode == 0 and "prediction type" not in result.stdout
    assert read_concept(target).prediction_type == "v_prediction" and read_concept(target).zero_terminal_snr


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".safetensors"])
def test_the_authors_files_come_back_as_they_were(run, tmp_path, suffix):
    """There and back: the same names and bits, read as the authors' code reads them."""
    tensors = dict(make_concept(WIDE["sd15"]).tensors)
    source, between, back = tmp_path / "unet.bin", tmp_path / "concept.safetensors", tmp_path / f"back{suffix}"
    torch.save(tensors, source)
    assert run("convert", source, between).returncode == 0
    result = run("convert", between, back, "--bare")
    assert result.returncode == 0, result.stderr
    loaded = load_file(back) if suffix == ".safetensors" else torch.load(back, weights_only=True)
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[key], value) for key, value in tensors.items())
    if suffix == ".safetensors":
        with safe_open(back, "pt") as handle:
            assert handle.metadata() is None
    assert run("convert", between, back, "--bare").returncode == 2
    described = run("convert", between, back, "--bare", "--overwrite", "--title", "Faces")
    assert described.returncode == 2 and "--title" in described.stderr and described.stderr.count("\n") == 1


def test_what_a_bare_file_cannot_hold_is_told(run, tmp_path):
    path = concept_path(tmp_path, SMALL["sdxl"], prediction_type="v_prediction", zero_terminal_snr=True)
    output = run("convert", path, tmp_path / "bare.safetensors", "--bare").stdout
    for lost in ("SDXL's pooled text vector", "v-prediction", "zero terminal SNR"):
        assert f"not in it: {lost}" in output


def test_zero_terminal_snr_goes_with_v_prediction_alone(run, tmp_path):
    tensors = dict(make_concept(WIDE["sd15"]).tensors)
    source, target = tmp_path / "unet.safetensors", tmp_path / "concept.safetensors"
    save_file({**tensors, "ztsnr": torch.zeros(0)}, source)
    for words in ([], ["--zero-terminal-snr"], ["--prediction-type", "epsilon"]):
        refused = run("convert", source, target, *words)
        assert refused.returncode == 2 and "zero terminal SNR: expected v_prediction, got epsilon" in refused.stderr
        assert not target.exists()
    assert run("convert", source, target, "--no-zero-terminal-snr").returncode == 0
    assert not read_concept(target).zero_terminal_snr
    assert "beware" in facts(run("inspect", source).stdout)


def test_convert_takes_a_configuration_and_text_models(run, tmp_path):
    config, source = SMALL["sd2"], tmp_path / "unet.safetensors"
    save_file(text_unet(config).state_dict(), source)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel", **config}))
    refused = run("convert", source, tmp_path / "a.safetensors")
    assert refused.returncode == 2 and "--config" in refused.stderr
    result = run("convert", source, tmp_path / "a.safetensors", "--config", tmp_path / "config.json")
    assert result.returncode == 0, result.stderr
    assert read_concept(tmp_path / "a.safetensors").kind == "unet"


@pytest.mark.parametrize("case", ["absent", "foreign", "truncated", "config", "suffix", "folder"])
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, case):
    path = concept_path(tmp_path, SMALL["sd15"])
    out = tmp_path / "out.safetensors"
    arguments = {
        "absent": ("inspect", tmp_path / "nothing.safetensors"),
        "foreign": ("inspect", tmp_path / "foreign.safetensors"),
        "truncated": ("convert", path, out),
        "config": ("convert", path, out, "--config", path),
        "suffix": ("convert", path, tmp_path / "out.pt"),
        "folder": ("convert", path, tmp_path / "no" / "out.safetensors"),
    }[case]
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    if case == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    result = run(*arguments)
    assert result.returncode == 2 and not result.stdout
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert not out.exists()


def test_it_is_a_program(tmp_path):
    path = concept_path(tmp_path, SMALL["sd15"])
    command = [sys.executable, "-m", "training", "inspect", str(path)]
    result = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr
    assert facts(result.stdout)["kind"] == "null-text-unet"
    refused = subprocess.run([*command[:-1], str(tmp_path / "no")], cwd=ROOT, env=environment(), capture_output=True)
    assert refused.returncode == 2 and refused.stderr.startswith(b"error: ")


def test_it_needs_neither_comfyui_nor_diffusers():
    code = "import sys, training.cli; print([m for m in ('comfy', 'diffusers', 'folder_paths') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
