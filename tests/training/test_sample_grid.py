"""Grids: every cell from the same noise, and the command that draws one from a file or a run."""

import json
import os
import time

import pytest
import torch
from PIL import Image, ImageChops
from safetensors.torch import save_file
from train_rigs.samples import base, concept, denoiser, unet
from train_rigs.worlds import CAPTIONS, TINY, tiny_world

from gcfg_core.concept_file import write_concept
from gcfg_core.input_error import InputError
from gcfg_core.null_text import remove_text_attention
from training.base.world_config import WorldConfig
from training.base.world_new import new_world
from training.base.world_write import write_world
from training.commands.sample import parse, run
from training.export.concept import concept_of
from training.export.facts import TrainingFacts
from training.run.checkpoint import Checkpoint, write_checkpoint
from training.sample.concept_model import concept_unet
from training.sample.denoiser import base_denoiser
from training.sample.grid import GAP, draw_grid
from training.sample.scene import Drawing, Scene, fitting_side, make_scene, to_images
from training.sample.source import load_source, open_source
from training.sample.weight_grid import weight_grid
from training.sample.words import unknown_words

HOW = Drawing(seed=3, steps=3, size=8, batch=2)


def scene(prompt: str | None = "a face") -> Scene:
    return make_scene(base(), denoiser(0), denoiser(1, null_text=True), prompt)


def watched(mixed: Scene) -> list[tuple[float, float]]:
    """The weights that a scene is asked to draw, as they come."""
    asked: list[tuple[float, float]] = []
    draw = mixed.pictures
    mixed.pictures = lambda weights, *rest: (asked.append(weights), draw(weights, *rest))[1]  # type: ignore[assignment]
    return asked


def pixels(pictures: list[Image.Image]) -> list[bytes]:
    return [picture.tobytes() for picture in pictures]


def largest_difference(one: Image.Image, other: Image.Image) -> int:
    """In levels of 255: another batch may round otherwise."""
    return max(high for _, high in ImageChops.difference(one, other).getextrema())


def test_pictures_depend_on_the_seed_not_on_the_batch():
    together = scene().pictures((1.5, 2.0), 3, HOW)
    alone = scene().pictures((1.5, 2.0), 1, Drawing(3, 3, "dpm++", 8, 1), first=2)
    assert len(together) == 3 and largest_difference(together[2], alone[0]) <= 1
    assert pixels(scene().pictures((1.5, 2.0), 1, Drawing(4, 3, "dpm++", 8)))[0] != pixels(together)[0]


def test_weights_of_zero_and_one_are_the_models_alone():
    mixed = scene()
    concept_alone = make_scene(base(), denoiser(1, null_text=True), None)
    assert pixels(mixed.pictures((1.0, 0.0), 1, HOW)) == pixels(concept_alone.pictures((0.0, 0.0), 1, HOW))
    assert pixels(mixed.pictures((1.0, 0.0), 1, HOW)) != pixels(mixed.pictures((0.0, 0.0), 1, HOW))


def test_a_grid_draws_each_cell_once_from_the_same_noise():
    mixed, told = scene(), []
    asked = watched(mixed)
    grid = weight_grid(
        mixed, HOW, (0.0, 2.0), (0.0, 1.0, 3.0), 2, "toons", lambda done, cells: told.append((done, cells))
    )
    assert told[-1] == (7, 7)  # six cells and the concept alone; base and prompt alone are among them
    assert sorted(asked) == [(0, 0), (0, 1), (0, 3), (1, 0), (2, 0), (2, 1), (2, 3)]
    assert grid.width > 3 * 2 * 96 and grid.height > 3 * 96
    assert weight_grid(scene(), HOW, (0.0, 2.0), (0.0, 1.0, 3.0), 2, "toons").tobytes() == grid.tobytes()


def test_without_a_prompt_there_is_one_column():
    mixed = scene(None)
    asked = watched(mixed)
    weight_grid(mixed, HOW, (0.0, 2.0), (0.0, 1.0, 3.0))
    assert sorted(asked) == [(0, 0), (1, 0), (2, 0)]


def test_labels_lie_outside_the_pictures():
    red = Image.new("RGB", (100, 100), "red")
    grid = draw_grid([[red, red], [red, red]], ["row one", "row two"], ["left", "right"], "title")
    values = torch.frombuffer(bytearray(grid.tobytes()), dtype=torch.uint8).view(grid.height, grid.width, 3)
    is_red = (values == torch.tensor([255, 0, 0], dtype=torch.uint8)).all(-1)
    assert int(is_red.sum()) == 4 * 100 * 100
    assert is_red.any(1).nonzero().min() > 2 * 14 and is_red.any(0).nonzero().min() > 20
    assert draw_grid([[red]], [""], [""]).size == (100 + 2 * GAP, 100 + 2 * GAP)


def test_no_heading_is_cut_or_laid_over_its_neighbour():
    """Headings wider than their pictures, in the first column, between others and in the last one."""
    red, long = Image.new("RGB", (100, 100), "red"), "a heading of many words"
    grid = draw_grid([[red] * 3], [""], [long] * 3)
    alone = draw_grid([[Image.new("RGB", (400, 100), "red")]], [""], [long])

    def ink(picture: Image.Image) -> list[int]:
        """How dark the line of headings is, column by column."""
        line = picture.convert("L").crop((0, 0, picture.width, 20))
        return [sum(255 - line.getpixel((x, y)) for y in range(20)) for x in range(line.width)]

    assert sum(ink(grid)) == 3 * sum(ink(alone)) > 0
    assert not any(ink(grid)[:GAP]) and not any(ink(grid)[-GAP:])


def test_colours_are_rounded_and_clamped():
    pictures = to_images(torch.tensor([-2.0, -1.0, 0.0, 1.0, 1.5]).view(1, 1, 1, 5).expand(1, 3, 1, 5))
    assert [pictures[0].getpixel((x, 0))[0] for x in range(5)] == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("size", [0, 7, 9])
def test_a_size_that_cannot_be_halved_is_refused(size):
    with pytest.raises(InputError, match="multiple of 2 pixels"):
        scene().pictures((1.0, 0.0), 1, Drawing(0, 3, "dpm++", size))


def test_a_prompt_needs_a_text_encoder():
    made = base()
    made.text = None
    with pytest.raises(InputError, match="prompt: expected a base with tokenizer"):
        make_scene(made, denoiser(0), None, "a face")


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
    expected = weight_grid(scene, Drawing(0, 2, size=8), (1.0,), (0.0, 2.5))
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
    with pytest.raises(InputError, match="w_concept: expected none for a model that reads text"):
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
        ([place, "--base", toons], "--base: expected none beside .*world, got one"),
        ([place, "--zero-terminal-snr"], "--zero-terminal-snr: expected none beside"),
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


def test_a_half_precision_file_is_sampled_in_full():
    half = concept()
    tensors = {key: value.half() for key, value in half.tensors.items()}
    network = concept_unet(type(half)(tensors, half.config))
    assert next(network.parameters()).dtype == torch.float32
