"""The command that draws a grid from a file or a run."""

import json
import os
import time

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from train_rigs.pictures import largest_difference
from train_rigs.samples import base, concept, unet
from train_rigs.worlds import CAPTIONS, TINY, tiny_world

from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.null_text import remove_text_attention
from gcfg_core.errors import InputError
from training.base.world_config import WorldConfig
from training.base.world_new import new_world
from training.base.world_write import write_world
from training.commands.sample import parse, run
from training.export.concept import concept_of
from training.export.facts import TrainingFacts
from training.sample.denoiser import base_denoiser
from training.sample.scene import Sampling, fitting_side, make_scene
from training.sample.source import load_source, open_source
from training.sample.weight_grid import weight_grid
from training.sample.words import unknown_words
from training.state.checkpoint import Checkpoint, write_checkpoint


@pytest.fixture
def world(tmp_path):
    """A world's folder, its base, and a concept file of it."""
    made = tiny_world()
    write_world(tmp_path / "world", made)
    write_concept(tmp_path / "toons.safetensors", world_concept(made, 1))
    return tmp_path


def world_concept(made, seed: int):
    trained = remove_text_attention(unet(seed, made.config))
    return concept_of(made, trained.state_dict(), TrainingFacts(resolution=8))


def run_folder(place, made, kind: str = "null-text"):
    """A run's folder with a checkpoint: trained tensors without the frozen constants, which lie beside."""
    folder = place / "run"
    folder.mkdir()
    record = {
        "config": {"base": str(place / "world"), "model": {"kind": kind, "start": None}, "data": {"resolution": 8},
                   "ema": {"ema": "power", "sigma_rels": [0.05, 0.1]}},
        "settings": {},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    tensors = {}
    for seed, name in enumerate(("weights", "ema-0.05", "ema-0.1")):
        state = unet(seed, made.config, null_text=True).state_dict()
        tensors[name] = {f"unet.{k}": v.contiguous() for k, v in state.items() if "null_text_feature" not in k}
    write_checkpoint(folder / "checkpoints", Checkpoint(5, {**tensors, "optimizer": {}}, {}), 2)
    constants = {k: v for k, v in unet(9, made.config, null_text=True).state_dict().items() if "null_text_feature" in k}
    save_file(constants, folder / "constants.safetensors")
    return folder


def test_the_command_draws_from_a_file(world, capsys):
    output = world / "grid.png"
    arguments = [str(world / "toons.safetensors"), "--base", str(world / "world"), "--prompt", "a red face",
                 "--w-concept", "0", "2.5", "--w-control", "0", "1", "--steps", "2", "--output", str(output),
                 "--device", "cpu"]  # fmt: skip
    told = run(parse(arguments))
    assert told.startswith(f"{output}: toons.safetensors, ") and Image.open(output).height > 3 * 96
    first = Image.open(output).convert("RGB")
    run(parse([*arguments, "--batch", "1"]))
    assert largest_difference(first, Image.open(output)) <= 1


def test_a_run_gives_its_latest_average_until_it_has_exported(world):
    made = tiny_world()
    source = open_source(str(run_folder(world, made)))
    constants = unet(9, made.config, null_text=True).state_dict()
    for asked, seed, name in ((None, 1, "ema-0.05"), ("ema-0.1", 2, "ema-0.1"), ("weights", 0, "weights")):
        found, told = load_source(source, made, asked)
        state = unet(seed, made.config, null_text=True).state_dict()
        assert told == f"step-00000005, {name}" and set(found.tensors) == set(state)
        for key, value in found.tensors.items():
            assert torch.equal(value, constants[key] if "null_text_feature" in key else state[key])
    write_concept(source.path / "toons.safetensors", world_concept(made, 7))
    assert load_source(source, made)[1] == "toons.safetensors"
    time.sleep(0.01)
    write_concept(source.path / "other.safetensors", world_concept(made, 8))
    assert load_source(source, made)[1] == "other.safetensors"  # the newest, where run.json says nothing
    record = json.loads((source.path / "run.json").read_text())
    (source.path / "run.json").write_text(json.dumps({**record, "result": {"file": "toons.safetensors"}}))
    assert load_source(source, made)[1] == "toons.safetensors"
    assert load_source(source, made, "ema-0.1")[1] == "step-00000005, ema-0.1"
    with pytest.raises(InputError, match="ema-0.05 or ema-0.1 or weights, got 'ema'"):
        load_source(source, made, "ema")


def test_the_command_takes_base_and_size_from_a_run(world):
    output = world / "grid.png"
    folder = run_folder(world, tiny_world())
    run(parse([str(folder), "--w-concept", "1", "--steps", "2", "--output", str(output), "--device", "cpu"]))
    assert output.exists()


def test_a_runs_own_size_is_rounded_as_its_grids_are(world):
    folder, output = run_folder(world, tiny_world()), world / "grid.png"
    record = json.loads((folder / "run.json").read_text())
    record["config"]["data"]["resolution"] = [9, 4]
    (folder / "run.json").write_text(json.dumps(record))
    run(parse([str(folder), "--w-concept", "1", "--steps", "1", "--output", str(output), "--device", "cpu"]))
    assert Image.open(output).height > 96
    made = tiny_world()
    assert [fitting_side(made, side) for side in (1, 8, 9, 11)] == [2, 8, 8, 10]


def test_a_text_model_is_drawn_alone_under_its_own_prompt(world, capsys):
    """From a checkpoint with its trained text encoder, from the world that came out, and from that world itself."""
    made = tiny_world()
    folder = run_folder(world, made, "text")
    trained = new_world(WorldConfig(**TINY), CAPTIONS, "tiny")
    trained.unet.load_state_dict(unet(5, made.config).state_dict())
    weights = {f"unet.{key}": value for key, value in trained.unet.state_dict().items()}
    weights |= {f"text.{key}": value.clone() for key, value in trained.text.named_parameters()}
    write_checkpoint(folder / "checkpoints", Checkpoint(6, {"ema-0.05": weights, "optimizer": {}}, {}), 2)
    scene = make_scene(trained, base_denoiser(trained), None, CAPTIONS[0])
    expected = weight_grid(scene, Sampling(0, 2, size=8), (1.0,), (0.0, 2.5))
    common = ["--prompt", CAPTIONS[0], "--w-control", "0", "2.5", "--steps", "2", "--device", "cpu"]

    def drawn(*words):
        run(parse([*words, *common, "--output", str(world / "grid.png")]))
        picture = Image.open(world / "grid.png")
        assert picture.height < 2 * expected.height  # one row, no strip
        return picture.crop((0, picture.height - expected.height, expected.width, picture.height))

    assert drawn(str(folder)).tobytes() == expected.tobytes()
    write_world(folder / "world", trained)
    (folder / "run.json").write_text((folder / "run.json").read_text().replace(str(world / "world"), "recipe.toml"))
    for source in (str(folder), str(folder / "world")):
        assert drawn(source).tobytes() == expected.tobytes()
    assert drawn(str(folder), "--average", "ema-0.05").tobytes() == expected.tobytes()
    assert "another base" not in capsys.readouterr().err
    with pytest.raises(InputError, match="w_concept: expected no weight for a model that reads text"):
        drawn(str(folder), "--w-concept", "1")


def test_words_that_a_world_does_not_know_are_named(world, capsys):
    common = [str(world / "toons.safetensors"), "--base", str(world / "world"), "--steps", "1", "--w-concept", "1",
              "--w-control", "1", "--output", str(world / "grid.png"), "--device", "cpu"]  # fmt: skip
    run(parse([*common, "--prompt", "a red hat, HAT, a face", "--negative", "rain"]))
    [warned] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert "the world does not know 'hat', 'rain'" in warned and f"inspect {world / 'world'}`" in warned
    run(parse([*common, "--prompt", "a red face, smiling"]))
    assert "does not know" not in capsys.readouterr().err
    assert unknown_words(base(), "a hat") == []  # a text encoder that spells words out


def test_bad_input_is_one_line(world):
    toons, place = str(world / "toons.safetensors"), str(world / "world")
    os.mkdir(world / "empty")
    for name, config in (("no-config", []), ("odd-config", {"model": []})):
        os.mkdir(world / name)
        (world / name / "run.json").write_text(json.dumps({"config": config, "settings": {}}))
    for arguments, message in (
        ([str(world / "empty")], "a folder without run.json"),
        ([str(world / "nothing")], "nothing there"),
        ([toons], "base: expected the base model"),
        ([toons, "--base", place, "--output", str(world / "grid.txt")], "output: expected"),
        ([toons, "--base", place, "--size", "9"], "multiple of 2"),
        ([toons, "--base", place, "--steps", "2000"], "1 to 1000"),
        ([toons, "--base", place, "--average", "ema-0.05"], "average: expected the folder of a run"),
        ([toons, "--base", place, "--w-concept", "nan"], "w_concept.*a finite number"),
        ([toons, "--base", place, "--w-control", "2"], "w_control: expected a prompt to weigh"),
        ([toons, "--base", place, "--output", "/proc/grid.png"], "output: expected a folder to write into"),
        ([toons, "--base", place, "--output", str(world / "no" / "grid.png")], "Make the folder first"),
        ([place, "--base", toons], "--base: expected no value for .*world, which contains a world, got a value"),
        ([place, "--zero-terminal-snr"], "--zero-terminal-snr: expected no value for"),
        ([toons, "--base", place, "--seed", "-1"], "seed: expected a number not below 0"),
        ([toons, "--base", place, "--seed", str(2**63)], "seed: expected a number below"),
        ([toons, "--base", place, "--device", "cuda:77"], "device: expected a device of this machine"),
        ([str(world / "no-config")], "the record of a run"),
        ([str(world / "odd-config")], "the record of a run"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            run(parse(["--device", "cpu", "--output", str(world / "grid.png"), *arguments]))
        assert "\n" not in str(caught.value)


def test_a_concept_of_other_latents_is_refused(world):
    four = {**concept().config, "in_channels": 4, "out_channels": 4}
    write_concept(world / "four.safetensors", concept(config=four))
    with pytest.raises(InputError, match="3 latent channels, got 4"):
        load_source(open_source(str(world / "four.safetensors")), tiny_world())
