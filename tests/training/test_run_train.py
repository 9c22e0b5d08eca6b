"""`python -m training train` with everything real: base, pictures, constants, checkpoints, concept file."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from train_rigs.bases import tiny_base
from train_rigs.commands import SIZES, SMALL, train
from train_rigs.pictures import save_noise
from train_rigs.runs import final_tensors
from train_rigs.worlds import CAPTIONS, TINY

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.lora_file import read_lora_concept
from gcfg_core.concept.null_text import FEATURE
from training.base.read import read_base
from training.cli import main
from training.sample.denoiser import base_denoiser
from training.sample.scene import Sampling, make_scene
from training.sample.weight_grid import weight_grid
from training.state.checkpoint import latest_checkpoint
from training.state.record import read_record


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two bases, a recipe for a world and captioned pictures."""
    folder = tmp_path_factory.mktemp("given")
    for family in ("sd15", "sdxl"):
        tiny_base(family, folder / f"tokenizer-{family}", width=64).save_folder(folder / family)
    for number, path in enumerate(save_noise(folder / "images", SIZES)):
        path.with_suffix(".txt").write_text(CAPTIONS[number % 3])
    (folder / "world.json").write_text(json.dumps(TINY))
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_from_pictures_to_a_concept_file(given: Path, tmp_path: Path) -> None:
    output = tmp_path / "cats"
    watch = ["--held-out", "2", "--validate-every", "2", "--sample-every", "2", "--title", "My cats"]
    assert train(given, output, *watch) == 0
    concept = read_concept(output / "My-cats.safetensors")
    assert (concept.kind, concept.title, concept.training["steps"]) == ("null-text-unet", "My cats", 4)
    assert concept.training["ema"] == "ema-0.05" and concept.training["images"] == 4
    assert (output / "README.md").exists()
    averaged = final_tensors(output)["ema-0.05: unet.conv_in.weight"]
    assert torch.equal(concept.tensors["conv_in.weight"], averaged.half())
    constants = load_file(output / "constants.safetensors")
    assert all(torch.equal(concept.tensors[key], value.half()) for key, value in constants.items())
    assert [row["step"] for row in rows(output) if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows(output) if "validation/weights" in row] == [2, 4]
    assert len(list((output / "samples").glob("*.png"))) == 2
    assert list((output / "tensorboard").glob("events*"))


def test_run_json_repeats_the_run(given: Path, tmp_path: Path) -> None:
    assert train(given, tmp_path / "a") == 0
    record = read_record(tmp_path / "a")
    assert record["base"]["sha256"] == read_base(str(given / "sd15")).sha256
    assert {"settings", "config", "versions", "started", "images", "processes", "result"} <= set(record)
    from training.launch.session import train as again
    from training.settings.read import merged, run_config

    again(run_config(merged(record["config"], {"output": str(tmp_path / "b")})))
    a, b = final_tensors(tmp_path / "a"), final_tensors(tmp_path / "b")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_same_command_goes_on(given: Path, tmp_path: Path) -> None:
    for steps in ("2", "6"):
        assert train(given, tmp_path / "two", "--steps", steps, "--held-out", "2", "--validate-every", "1") == 0
    assert train(given, tmp_path / "one", "--steps", "6", "--held-out", "2", "--validate-every", "1") == 0
    a, b = final_tensors(tmp_path / "one"), final_tensors(tmp_path / "two")
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    timeless = [[{k: v for k, v in row.items() if k != "images_per_second"} for row in rows(tmp_path / name)]
                for name in ("one", "two")]  # fmt: skip
    assert timeless[0] == timeless[1]  # held-out losses too


def test_workers_change_no_bit(given: Path, tmp_path: Path) -> None:
    for workers in ("0", "2"):
        assert train(given, tmp_path / workers, "--workers", workers) == 0
    a, b = final_tensors(tmp_path / "0"), final_tensors(tmp_path / "2")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_lora_run_saves_its_adapters_alone(given: Path, tmp_path: Path) -> None:
    output = tmp_path / "lora"
    assert train(given, output, "--kind", "null-text-lora", "--lora-rank", "2", "--lr", "1e-3") == 0
    checkpoint = latest_checkpoint(output / "checkpoints")
    assert checkpoint is not None
    assert all(".lora_" in key for key in load_file(checkpoint / "weights.safetensors"))
    lora = read_lora_concept(output / "lora.safetensors")
    assert lora.rank == 2 and lora.layers and all(key.endswith(FEATURE) for key in lora.features)
    assert any(value.abs().max() > 0 for key, value in lora.factors.items() if key.endswith("lora_B.weight"))


def test_an_sdxl_run_keeps_its_constants(given: Path, tmp_path: Path) -> None:
    assert train(given, tmp_path / "xl", base="sdxl") == 0
    concept, null = read_concept(tmp_path / "xl" / "xl.safetensors"), read_base(str(given / "sdxl")).null
    assert null.pooled is not None and concept.text_embeds is not None
    assert torch.equal(concept.text_embeds, null.pooled)


@pytest.mark.parametrize("captions", ["none", "sidecar"])
@pytest.mark.parametrize("base", ["sd15", "sdxl"])
def test_a_plain_fine_tune_reads_text(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], captions: str, base: str
) -> None:
    assert train(given, tmp_path / "text", "--kind", "text", "--captions", captions, base=base) == 0
    assert read_concept(tmp_path / "text" / "text.safetensors").kind == "unet"
    assert ("captions  none are read" in capsys.readouterr().out) == (captions == "none")


def test_a_new_world_learns_with_its_text_encoder(given: Path, tmp_path: Path) -> None:
    words = ["--kind", "text", "--captions", "sidecar", "--train-text"]
    assert train(given, tmp_path / "run", *words, base="world.json") == 0
    trained = final_tensors(tmp_path / "run")
    world = read_base(str(tmp_path / "run" / "world"))
    assert torch.equal(world.unet.conv_in.weight, trained["ema-0.05: unet.conv_in.weight"].half().float())
    assert any(key.startswith("weights: text.") for key in trained)
    assert train(given, tmp_path / "concept", base=str(tmp_path / "run" / "world")) == 0  # and a concept of it


def test_a_text_model_is_painted_as_it_is_trained(given: Path, tmp_path: Path) -> None:
    """The grid shows the trained model under its prompt, not the untrained one that a new world begins with."""
    words = ["--kind", "text", "--train-text", "--captions", "sidecar", "--export-dtype", "fp32", "--lr", "1e-2"]
    output = tmp_path / "run"
    assert train(given, output, *words, "--sample-every", "4", "--prompt", CAPTIONS[0], base="world.json") == 0
    world = read_base(str(output / "world"))
    scene = make_scene(world, base_denoiser(world), None, CAPTIONS[0])
    sampling = Sampling(0, 25, size=SMALL["resolution"], batch=1)
    painted = Image.open(output / "samples" / "step-00000004.png")
    assert painted.tobytes() == weight_grid(scene, sampling, title="step 4").tobytes()
    assert scene.pictures((0.0, 0.0), 1, sampling)[0].tobytes() != scene.pictures((0.0, 2.5), 1, sampling)[0].tobytes()


def test_a_run_starts_from_a_prepared_file(given: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    where = ["--base", str(given / "sd15"), "--output", str(start), "--images", str(given / "images")]
    assert main(["prepare", *where, "--resolution", "16"]) == 0
    assert train(given, tmp_path / "run", "--start", str(start)) == 0
    prepared, trained = read_concept(start), read_concept(tmp_path / "run" / "run.safetensors")
    features = [key for key in prepared.tensors if key.endswith(FEATURE)]
    assert features and all(torch.equal(prepared.tensors[key].half(), trained.tensors[key]) for key in features)


def test_every_switch_works(given: Path, tmp_path: Path) -> None:
    switches = ["--gradient-checkpointing", "--channels-last", "--train-constant", "--ema", "none", "--min-snr-gamma",
                "5", "--noise-offset", "0.1", "--lr-schedule", "cosine", "--precision", "bf16", "--accumulation", "2",
                "--export-dtype", "fp32"]  # fmt: skip
    assert train(given, tmp_path / "all", *switches, "--lr", "1e-2") == 0
    constants, concept = (
        load_file(tmp_path / "all" / "constants.safetensors"),
        read_concept(tmp_path / "all" / "all.safetensors"),
    )
    assert any(not torch.equal(concept.tensors[key], value) for key, value in constants.items())


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler, which this machine lacks")
def test_a_compiled_network_trains(given: Path, tmp_path: Path) -> None:
    words = ["--steps", "1", "--ema", "none", "--lr", "1e-3"]
    assert train(given, tmp_path / "plain", *words) == 0
    assert train(given, tmp_path / "compiled", "--compile", *words) == 0
    (plain,), (compiled,) = (rows(tmp_path / name) for name in ("plain", "compiled"))
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-4)
    assert final_tensors(tmp_path / "plain").keys() == final_tensors(tmp_path / "compiled").keys()


@pytest.mark.parametrize("kind", ["null-text", "null-text-lora", "text"])
def test_a_dry_run_tells_and_writes_nothing(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert train(given, tmp_path / "dry", "--dry-run", "--kind", kind, "--held-out", "1") == 0
    told = capsys.readouterr().out
    for word in ("6 pictures", "16x16", "parameters", "epochs", "optimizer", "activations", "s a step", "nothing was"):
        assert word in told, told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--images", "nowhere"], "nowhere"),
        (["--output", "given/images/000.png"], "output"),
        (["--output", "/proc/run"], "output"),
        (["--cache", "/proc/cache"], "cache: expected a folder to write into"),
        (["--cache", "given/images/000.png"], "cache: expected a folder that can be made"),
        (["--held-out", "6"], "held_out"),
        (["--precision", "fp16"], "precision fp16"),
        (["--optimizer", "adamw8bit"], "bitsandbytes"),
        (["--start", "nowhere.safetensors"], "start"),
        (["--kind", "text", "--train-text"], "train_text"),
        (["--kind", "null-text-lora", "--lora-targets", "no_such_layer"], "The default is to_q to_k"),
        (["--sigma-rels", "0.5"], "sigma_rels"),
        (["--resolution", "17", "--bucket-step", "17"], "bucket"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    arguments = [str(given) + part.removeprefix("given") if part.startswith("given") else part for part in arguments]
    assert train(given, tmp_path / "bad", *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and told in lines[0], lines
    assert not list(tmp_path.rglob("*.latent.safetensors"))  # before hours of work
    if arguments[0] not in ("--held-out", "--resolution"):  # which the pictures decide
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [{"other": torch.ones(1)}, "sdxl"])
def test_what_another_base_was_prepared_for_is_refused(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], start: Any
) -> None:
    path = tmp_path / "start.safetensors"
    if start == "sdxl":
        assert main(["prepare", "--base", str(given / "sdxl"), "--output", str(path), "--count", "1"]) == 0
    else:
        save_file(start, path)
    capsys.readouterr()
    assert train(given, tmp_path / "run", "--start", str(path)) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and told[0].startswith("error: start: expected"), told


def test_settings_bind_from_the_first_checkpoint_on(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed before it can be given other settings; what is measured is measured for these."""
    run, other = tmp_path / "run", ["--lr", "1e-3", "--seed", "5"]

    def killed(*place: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.loop.trainer.Trainer.run", killed)
        assert train(given, run) == 130
    assert (run / "run.json").exists() and train(given, run, *other) == 0
    assert train(given, tmp_path / "fresh", *other) == 0
    a, b = final_tensors(run), final_tensors(tmp_path / "fresh")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert (run / "constants.safetensors").read_bytes() == (tmp_path / "fresh" / "constants.safetensors").read_bytes()
    assert read_record(run)["settings"]["loop.seed"] == 5
    assert train(given, run) == 2  # now there are steps
    assert "optimizer.lr: expected 0.001 as in the run" in capsys.readouterr().err
