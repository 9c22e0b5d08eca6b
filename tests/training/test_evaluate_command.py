"""The command that measures pictures, and the table it prints."""

import json
import shutil

import pytest
import torch
from PIL import Image
from train_rigs.samples import SMALL, features_of, noise_pictures, unet, write_pictures
from train_rigs.worlds import tiny_world

from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.null_text import remove_text_attention
from gcfg_core.errors import InputError
from training.base.world_write import write_world
from training.cli import main
from training.commands.evaluate import evaluate, output_folder, parse, run
from training.evaluate.evaluation import Evaluation, halves, notes, score, table
from training.evaluate.features import Features
from training.evaluate.metrics import ENOUGH_NEAR
from training.evaluate.pictures import list_pictures
from training.export.concept import concept_of
from training.export.facts import TrainingFacts


@pytest.fixture
def quick(monkeypatch):
    """The command with small features in place of EfficientNet's."""
    monkeypatch.setattr("training.commands.evaluate.open_extractor", lambda which, size: SMALL)


def test_the_command_measures_folders(tmp_path, quick):
    write_pictures(tmp_path / "real", noise_pictures(30))
    write_pictures(tmp_path / "made", noise_pictures(30, seed=1))
    write_pictures(tmp_path / "train", noise_pictures(30, seed=2))
    shutil.copy(tmp_path / "train" / "p000.png", tmp_path / "made" / "copy.png")
    arguments = ["--real", str(tmp_path / "real"), "--generated", str(tmp_path / "made"), "--train",
                 str(tmp_path / "train"), "--output", str(tmp_path / "out"), "--device", "cpu"]  # fmt: skip
    told = run(parse(arguments))
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["scores"]["generated"] == 31 and found["memorisation"]["copies"] == 1
    assert found["real_halves"]["real"] == 15 and found["settings"]["real"] == str(tmp_path / "real")
    assert found["memorisation"]["nearest_pairs"][0]["generated"].endswith("copy.png")
    assert "KID" in told and "prefer KID" in told and told.splitlines()[0] == "features: small at 12 px"
    assert Image.open(tmp_path / "out" / "nearest.png").width > 128


def test_the_command_draws_and_measures_a_concept(tmp_path, quick):
    made = tiny_world()
    write_world(tmp_path / "world", made)
    trained = remove_text_attention(unet(1, made.config)).state_dict()
    write_concept(tmp_path / "toons.safetensors", concept_of(made, trained, TrainingFacts(resolution=8)))
    write_pictures(tmp_path / "real", noise_pictures(12))
    arguments = ["--real", str(tmp_path / "real"), "--run", str(tmp_path / "toons.safetensors"), "--base",
                 str(tmp_path / "world"), "--count", "5", "--steps", "2", "--output", str(tmp_path / "out"),
                 "--device", "cpu"]  # fmt: skip
    run(parse(arguments))
    assert len(list((tmp_path / "out" / "generated").iterdir())) == 5
    for flags, colour in (((), "#ffffff"), (("--background", "black"), "#000000")):
        assert f"transparent parts of pictures lie on {colour} (--background names" in run(parse([*arguments, *flags]))
        assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["background"] == colour
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["scores"]["generated"] == 5
    with pytest.raises(InputError, match="w_control: expected 0 without a prompt"):
        run(parse([*arguments, "--w-control", "2"]))
    with pytest.raises(InputError, match="w_control: expected a weight that is not 0"):
        run(parse([*arguments, "--prompt", "a face", "--w-control", "0"]))
    alone = (tmp_path / "out" / "generated" / "00000.png").read_bytes()
    (tmp_path / "out" / "generated" / "mine.png").write_bytes(alone)
    run(parse([*arguments, "--prompt", "a red face", "--count", "3"]))
    assert sorted(path.name for path in (tmp_path / "out" / "generated").iterdir()) == [
        "00000.png", "00001.png", "00002.png", "mine.png",
    ]  # fmt: skip
    prompted = (tmp_path / "out" / "generated" / "00000.png").read_bytes()
    assert prompted != alone  # a prompt is never passed over
    run(parse([*arguments, "--prompt", "a red face", "--count", "3", "--w-control", "2.5"]))
    assert (tmp_path / "out" / "generated" / "00000.png").read_bytes() == prompted


def test_bad_input_is_told(tmp_path, quick):
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "real", noise_pictures(4))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    real, out = ["--real", str(tmp_path / "real")], ["--output", str(tmp_path / "out"), "--device", "cpu"]
    for arguments, message in (
        (real, "both or neither"),
        ([*real, "--generated", str(tmp_path / "no"), *out, "--device", "cuda:77"], "device: expected a device"),
        ([*real, "--generated", str(tmp_path / "empty")], "expected pictures, got none there"),
        ([*real, "--generated", str(tmp_path / "real"), "--count", "3"], "--count: expected no sampling setting"),
        ([*real, "--generated", str(tmp_path / "real"), "--prompt", "a"], "--prompt: expected no sampling setting"),
        ([*real, "--generated", str(tmp_path / "no")], "nothing there"),
        ([*real, "--generated", str(tmp_path / "text")], "1 other files"),
        ([*real, "--generated", str(tmp_path / "real" / "p000.png")], "a file"),
        ([*real, "--generated", str(tmp_path / "real"), "--output", str(tmp_path / "real" / "p000.png")], "output"),
        ([*real, "--generated", str(tmp_path / "real"), "--seed", str(2**80)], "seed: expected a number below"),
        ([*real, "--generated", str(tmp_path / "real"), "--output", "/proc/out"], "output: expected a folder"),
    ):
        with pytest.raises(InputError, match=message):
            run(parse(arguments if "--output" in arguments else [*arguments, *out]))


def test_the_table_has_a_line_for_each_number(tmp_path):
    write_pictures(tmp_path / "real", noise_pictures(20))
    files = list_pictures(tmp_path / "real")
    config = parse(["--real", str(tmp_path / "real"), "--generated", str(tmp_path / "real"), "--device", "cpu"])
    lines = table(evaluate({"real": files, "generated": files}, SMALL, config)).splitlines()
    assert [line.split("  ")[0] for line in lines[2:10]] == [
        "pictures", "FD", "KID", "KID, deviation", "precision", "recall", "density", "coverage",
    ]  # fmt: skip
    assert "20 / 20" in lines[2] and "10 / 10" in lines[2]
    assert any("the real halves have 10 pictures each, so their FD has more of that bias" in line for line in lines)


def test_as_many_real_pictures_as_asked_for(tmp_path, quick):
    write_pictures(tmp_path / "real", noise_pictures(12))
    write_pictures(tmp_path / "made", noise_pictures(5, seed=1))
    arguments = ["--real", str(tmp_path / "real"), "--generated", str(tmp_path / "made"), "--device", "cpu"]
    for words, real in (([], 12), (["--real-count", "8"], 8), (["--real-count", "50"], 12)):
        run(parse([*arguments, *words]))
        found = json.loads((tmp_path / "made-evaluation" / "evaluation.json").read_text())
        assert (found["scores"]["real"], found["scores"]["generated"]) == (real, 5)


def test_the_results_lie_beside_what_is_evaluated(tmp_path, monkeypatch):
    (tmp_path / "v1.5").mkdir()
    (tmp_path / "toons.safetensors").touch()
    monkeypatch.chdir(tmp_path / "v1.5")
    for words, place in (
        (["--run", str(tmp_path / "v1.5")], tmp_path / "v1.5-evaluation"),
        (["--run", "../toons.safetensors"], tmp_path / "v1.5" / ".." / "toons-evaluation"),
        (["--generated", "."], tmp_path / "v1.5-evaluation"),
        (["--generated", "made", "--output", "here"], tmp_path / "v1.5" / "here"),
    ):
        assert output_folder(parse(["--real", "r", *words])).absolute() == place


@pytest.mark.parametrize(("count", "is_told"), [(16, True), (ENOUGH_NEAR - 1, True), (ENOUGH_NEAR, False)])
def test_neighbours_among_few_pictures_are_told_to_mean_little(count, is_told):
    sets = [Features((), torch.randn(size, 4, dtype=torch.float64)) for size in (count, count + 9)]
    scores = score(*sets)
    found = Evaluation("small", scores, None, {"memorisation": None}, {}, "#ffffff")
    told = [note for note in notes(found) if "nearest neighbours" in note]
    assert bool(told) == is_told and found.as_json()["notes"] == notes(found)
    assert all(f"note: {note}" in table(found) and f"of {count} pictures" in note for note in told)


def test_the_halves_share_no_file(tmp_path):
    """Every picture there twice: one half must not hold the other's."""
    values = noise_pictures(12)
    write_pictures(tmp_path / "once", values)
    write_pictures(tmp_path / "twice", values)
    write_pictures(tmp_path / "twice", values, "again")
    once, twice = halves(features_of(tmp_path / "once"), 0), halves(features_of(tmp_path / "twice"), 0)
    assert (twice["real"], twice["generated"]) == (6, 6) and twice["fd"] == pytest.approx(once["fd"])
    write_pictures(tmp_path / "odd", noise_pictures(5))
    assert (lambda found: (found["real"], found["generated"]))(halves(features_of(tmp_path / "odd"), 0)) == (2, 2)


def test_no_memory_is_one_line(monkeypatch, capsys):
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ):

        def fail(config, error=error):
            raise error

        monkeypatch.setattr("training.commands.evaluate.run", fail)
        assert main(["evaluate", "--real", "r", "--generated", "g"]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: out of memory: ") and told.count("\n") == 1

    def broken(config):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("training.commands.evaluate.run", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        main(["evaluate", "--real", "r", "--generated", "g"])
