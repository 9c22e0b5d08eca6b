"""What `train` tells: before it begins, when it goes on, when it is done, and when it is stopped."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from train_rigs.commands import make_given, start_train, train, train_in_pair
from train_rigs.processes import end
from train_rigs.worlds import tiny_world

from training.base.world_write import write_world
from training.data import scan as scan_module
from training.state.checkpoint import checkpoints, step_of
from training.state.dataset_list import changes
from training.state.record import read_record

INSIDE = "output: expected a place outside the pictures"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_given(tmp_path_factory.mktemp("given"))


@pytest.fixture
def given(shared: Path, tmp_path: Path) -> Path:
    """A base and pictures that a test may change."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "sd15").symlink_to(shared / "sd15")
    shutil.copytree(shared / "images", folder / "images")
    return folder


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def test_the_pictures_and_the_plan_are_told_before_training(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    examine = scan_module.examine
    monkeypatch.setattr(scan_module, "examine", lambda *one: (looked.append(one), examine(*one))[1])
    (given / "images" / "broken.png").write_bytes(b"no picture")
    assert train(given, tmp_path / "run", "--held-out", "1") == 0
    told = capsys.readouterr()
    places = [told.out.index(part) for part in (
        "6 pictures in", "left out, not an image: 1", "broken.png", "base      sd15", "training  null-text: ",
        "batch     2 = 2 x 1", "steps     4 = ", "5 pictures, 1 held out", "memory    weights", "run       begins",
        "run.safetensors: null-text, 4 steps",
    )]  # fmt: skip
    assert places == sorted(places)
    assert len(looked) == 7  # each file once
    assert "measuring null-text constants" in told.err and "3 [" in told.err  # of three pictures


def test_batches_are_counted_once_without_what_is_held_out(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out, batch in ((0, 4), (1, 4), (3, 2), (5, 1)):
        sizes = ["--held-out", str(out), "--batch-size", str(batch), "--dry-run"]
        assert train(given, tmp_path / "run", *sizes) == 0
        told = capsys.readouterr().out
        assert " batches" not in told
        [steps] = re.findall(r"epochs of (\d+) steps", told)
        [again, slots] = (re.findall(r"repeats   (\d+) of (\d+) slots", told) or [(0, int(steps) * batch)])[0]
        assert int(slots) == int(steps) * batch and int(slots) - int(again) == 6 - out


def test_words_of_the_prompt_that_a_world_does_not_know_are_told(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_world(given / "world", tiny_world())
    for prompt, told in (("a red hat", "prompt    with words that world does not know: 'hat'\n"), ("a red face", "")):
        assert train(given, tmp_path / "run", "--dry-run", "--prompt", prompt, base="world") == 0
        out = capsys.readouterr().out
        assert told in out and ("does not know" in out) == bool(told)


def test_one_process_of_several_tells_what_it_would_do(given: Path, tmp_path: Path) -> None:
    code, outputs = train_in_pair(given, tmp_path / "run", "--batch-size", "1", "--dry-run")
    out = "".join(outputs)
    assert code == 0, out
    for part in ("6 pictures in", "batch     2 = 1 x 1 accumulated x 2", "nothing was written"):
        assert out.count(part) == 1, out


def test_one_process_of_several_tells_the_plan(given: Path, tmp_path: Path) -> None:
    code, outputs = train_in_pair(given, tmp_path / "run", "--batch-size", "1")
    out = "".join(outputs)
    assert code == 0, out
    for part in ("6 pictures in", "batch     2 = 1 x 1 accumulated x 2", "run       begins", "2 processes"):
        assert out.count(part) == 1, out


def test_a_run_tells_how_far_it_has_come(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def told(*arguments: str) -> str:
        capsys.readouterr()
        assert train(given, run, *arguments) == 0
        return capsys.readouterr().out

    assert "run       begins" in told("--dry-run") and not run.exists()
    told("--steps", "2")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "run       continues at step 2 of 4" in told("--dry-run")
    assert f"run       was finished before, after 2 steps: {run}/run.safetensors" in told("--dry-run", "--steps", "2")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert "run       continues at step 2 of 4" in told()
    written = (run / "run.safetensors").stat().st_mtime_ns
    assert f"the run was finished before, after 4 steps: {run}/run.safetensors" in told().splitlines()[-1]
    assert (run / "run.safetensors").stat().st_mtime_ns == written
    again = told("--title", "Cats")  # the same weights in another file
    assert "all 4 steps are done, the result is still to be written" in again and (run / "Cats.safetensors").exists()
    assert read_record(run)["result"]["file"] == "Cats.safetensors"


def test_a_dry_run_refuses_what_the_run_would_refuse(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(given, tmp_path / "run", "--steps", "1") == 0
    capsys.readouterr()
    assert train(given, tmp_path / "run", "--dry-run", "--lr", "1e-3") == 2
    assert [line.split(":")[1] for line in errors(capsys)] == [" optimizer.lr"]


@pytest.mark.parametrize("order", [[], ["--dry-run"]])
def test_other_settings_are_refused_before_any_picture_is_looked_at(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, order: list[str]
) -> None:
    assert train(given, tmp_path / "run", "--steps", "1") == 0
    shutil.copytree(given / "sd15", given / "other")
    weights = given / "other" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value + 1.0 for key, value in load_file(weights).items()}, weights)
    capsys.readouterr()

    def looked_at(*args: object) -> None:
        raise AssertionError("a picture was looked at")

    monkeypatch.setattr(scan_module, "examine", looked_at)
    monkeypatch.setattr("training.loop.image_feed.scan_folder", looked_at)
    with monkeypatch.context() as patch:
        patch.setattr("training.launch.session.read_base", looked_at)  # nor the base
        assert train(given, tmp_path / "run", "--lora-rank", "4", *order) == 2
    assert train(given, tmp_path / "run", *order, base="other") == 2
    assert [line.split(":")[1] for line in errors(capsys)] == [" model.lora_rank", " base"]


@pytest.mark.parametrize("order", [[], ["--dry-run"]])
def test_no_output_lands_among_the_pictures(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], order: list[str]
) -> None:
    (tmp_path / "link").symlink_to(given / "images")
    for place in (given / "images", given / "images" / "run", tmp_path / "link" / "run"):
        assert train(given, place, *order) == 2
        told = errors(capsys)
        assert len(told) == 1 and INSIDE in told[0]
    assert len(list((given / "images").iterdir())) == 6
    assert train(given, tmp_path / "run", "--cache", str(given / "images"), *order) == 2
    assert "cache: expected a folder of its own" in errors(capsys)[0]


def test_a_cache_among_the_pictures_is_passed_over(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ["--cache", str(given / "images" / "cache")]
    assert train(given, tmp_path / "run", *cache, "--steps", "2") == 0
    for order in ([], ["--dry-run"]):
        capsys.readouterr()
        assert train(given, tmp_path / "run", *cache, *order) == 0
        assert "6 pictures in" in (told := capsys.readouterr().out) and "0 files left out" in told


@pytest.mark.parametrize("base", ["sd16", "images", "world.json"])
def test_a_mistyped_base_leaves_nothing_behind(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str
) -> None:
    (given / "world.json").write_text('{"chanels": [32]}')
    assert train(given, tmp_path / "deep" / "run", "--kind", "text", "--train-text", base=base) == 2
    assert len(errors(capsys)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given"]


def test_pictures_that_changed_are_named(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, images = tmp_path / "run", given / "images"
    assert train(given, run, "--steps", "1") == 0
    Image.new("RGB", (32, 32), "red").save(images / "000.png")
    for name in ("new-1.png", "new-2.png", "new-3.png", "new-4.png"):
        Image.new("RGB", (32, 32), (1, 2, int(name[4]))).save(images / name)
    (images / "005.png").unlink()
    capsys.readouterr()
    for order in ([], ["--dry-run"]):
        assert train(given, run, *order) == 2
        told = errors(capsys)
        assert len(told) == 1 and f"images: expected the pictures that the run in {run} began with" in told[0]
        assert "4 added (new-1.png, new-2.png, new-3.png and 1 more), 1 removed (005.png)" in told[0]
        assert ", 1 changed (000.png). Put them back" in told[0]
    (run / "pictures.json").unlink()
    assert train(given, run) == 2
    [told] = errors(capsys)
    digest = "sha256 [0-9a-f]{12}"
    assert re.search(f"images: expected {digest} as in the run in {run}, got {digest}\\. ", told)


def test_captions_that_changed_are_named(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ["--kind", "text", "--captions", "sidecar", "--steps", "1"]
    (given / "images" / "001.txt").write_text("a cat")
    assert train(given, tmp_path / "run", *text) == 0
    (given / "images" / "001.txt").write_text("a dog")
    capsys.readouterr()
    assert train(given, tmp_path / "run", *text) == 2
    assert "got 1 with another caption (001.png). Put them back" in errors(capsys)[0]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": [1]}'])
def test_a_damaged_list_of_pictures_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "pictures.json").write_text(content)
    assert changes(tmp_path, []) is None


def test_ctrl_c_while_constants_are_measured_is_one_line(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.launch.session.calibrate", interrupted)
        assert train(given, tmp_path / "run") == 130
    told = capsys.readouterr().err
    assert "Traceback" not in told and told.endswith("\ninterrupted: train was not finished\n")
    assert train(given, tmp_path / "run") == 0


@pytest.mark.parametrize(("name", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_so_by_its_exit_code(given: Path, tmp_path: Path, name: signal.Signals, code: int) -> None:
    log, metrics = tmp_path / "log.txt", tmp_path / "run" / "metrics.jsonl"
    process = start_train(given, tmp_path / "run", log, "--steps", "100000", "--save-every", "100000")
    try:
        while process.is_alive() and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.1)
        os.kill(process.pid, name)
    finally:
        ended = end(process)
    output = log.read_text()
    assert ended == code, output
    step = step_of(checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert output.endswith(f"stopped at step {step}; the same command continues from there\n")
    assert "Traceback" not in output
