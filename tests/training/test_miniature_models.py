"""The starter models: the recipe at a tiny size, conversion to null text, and what is shipped."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from train_rigs.samples import concept

from gcfg_core.concept.concept_file import read_concept, write_concept
from gcfg_core.errors import InputError
from training.cli import main
from training.console.endings import Interrupted
from training.export.newest import newest_concept
from training.launch.session import train
from training.miniature import __main__ as miniature
from training.miniature.recipe import TINY, recipes
from training.miniature.settings import KEPT, PIXEL, SAME, TOON, TUNED
from training.miniature.ship import CHOSEN, ship
from training.miniature.train import _collect, train_all

STARTER = Path(__file__).parents[2] / "starter"
PICTURES = STARTER / "pictures.zip"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `data.make` leaves it, with fewer pictures."""
    folder = tmp_path_factory.mktemp("data")
    with zipfile.ZipFile(PICTURES) as archive:
        archive.extractall(folder)
    shutil.move(folder / "open" / "test", folder / "open" / "train")
    for name, count in {"open": 128, "toon": 24, "pixel": 24}.items():
        for path in sorted((folder / name / "train").glob("*.png"))[count:]:
            path.unlink()
    return folder


def test_conversion_hardly_changes_the_starter_world(data: Path, tmp_path: Path) -> None:
    where = ["--images", str(data / "open" / "train"), "--resolution", "32"]
    assert main(["prepare", str(STARTER / "world"), str(tmp_path / "start.safetensors"), *where]) == 0
    report = json.loads((tmp_path / "start.report.json").read_text())
    assert 0.0 < report["output_change"]["mean"] < 0.05


def test_the_recipe_trains_every_model_and_goes_on_in_between(data: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    train_all(data, tmp_path / "runs", trained, TINY)
    lengths = {f"{name}@{steps}" for name in (TOON, TUNED, SAME) for steps in TINY.toon}
    names = {*lengths, "pixel@2", "toon_of_20@2", "toon_constants_of_1@2"}
    assert {path.stem for path in (trained / "concepts").iterdir()} == names
    rows = [json.loads(line) for line in (tmp_path / "runs" / "base" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    kinds = {path.stem: read_concept(path).kind for path in (trained / "concepts").iterdir()}
    assert kinds["toon@4"] == kinds["pixel@2"] == "null-text-unet" and kinds["toon_with_text@4"] == "unet"
    (trained / "concepts" / "toon@2.safetensors").unlink()
    with pytest.raises(InputError, match="a run of 2 steps, as toon@2 is, got a run of 4"):
        train_all(data, tmp_path / "runs", trained, TINY)  # the run has gone further
    runs = dict(recipes(data, tmp_path / "at once", trained / "world", TINY))
    train(runs["toon@4"])
    whole = load_file(newest_concept(tmp_path / "at once" / TOON) or "")
    halves = load_file(trained / "concepts" / "toon@4.safetensors")
    assert all(torch.equal(value, halves[key]) for key, value in whole.items())


def test_what_is_collected_is_the_result_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, target = tmp_path / "run", tmp_path / "got" / "toon@4.safetensors"
    run.mkdir()
    for name, steps in (("zebra", 4), ("apple", 3)):  # the newest file, not the first
        write_concept(run / f"{name}.safetensors", replace(concept(), training={"steps": steps}))
    (run / "run.json").write_text(json.dumps({"result": {"file": "zebra.safetensors"}}))
    save_file({"a": torch.zeros(1)}, run / "constants.safetensors")
    _collect(run, target, 4)
    assert target.read_bytes() == (run / "zebra.safetensors").read_bytes()
    target.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            _collect(run, target, 4)
    assert not list(target.parent.iterdir())
    with pytest.raises(InputError, match="a run of 5 steps"):
        _collect(run, target, 5)


def test_what_is_shipped_again_stays_to_the_byte_unless_it_was_trained_anew(tmp_path: Path) -> None:
    trained, starter = tmp_path / "trained", tmp_path / "starter"
    shutil.copytree(STARTER / "world", trained / "world")
    (trained / "concepts").mkdir()
    for name, source in CHOSEN.items():
        shutil.copyfile(STARTER / "concepts" / f"{name}.safetensors", trained / "concepts" / f"{source}.safetensors")
    ship(trained, starter)
    written = {name: (starter / "concepts" / f"{name}.safetensors").stat().st_mtime_ns for name in CHOSEN}
    pixel = read_concept(trained / "concepts" / f"{CHOSEN[PIXEL]}.safetensors")
    other = {key: value + 1 for key, value in pixel.tensors.items()}
    write_concept(trained / "concepts" / f"{CHOSEN[PIXEL]}.safetensors", replace(pixel, tensors=other))
    ship(trained, starter)
    again = {name: (starter / "concepts" / f"{name}.safetensors").stat().st_mtime_ns for name in CHOSEN}
    assert {name for name in CHOSEN if again[name] != written[name]} == {PIXEL}
    found = read_concept(starter / "concepts" / "pixel.safetensors").tensors
    assert all(torch.equal(value, found[key]) for key, value in other.items())


def test_shipped_models_have_their_cards() -> None:
    files = [*(STARTER / "concepts").glob("*.safetensors"), STARTER / "world" / "README.safetensors"]
    assert {path.stem for path in files} == {*CHOSEN, "README"}
    for path in files:
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert "licence" in card and "steps of" in card and "None" not in card
    trained = {path.stem: read_concept(path).training["steps"] for path in (STARTER / "concepts").glob("*.safetensors")}
    assert trained == KEPT
    assert sum(path.stat().st_size for path in STARTER.rglob("*") if path.is_file()) <= 40e6


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "interrupted: judge was not finished"),
        (Interrupted(15, "stopped at step 3"), 143, "stopped at step 3"),
        (
            ModuleNotFoundError("x", name="matplotlib"),
            2,
            "error: this Python lacks matplotlib: pip install -r",
        ),
    ],
)
def test_an_end_before_the_end_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, told: str
) -> None:
    def ended(options: object) -> str:
        raise raised

    monkeypatch.setitem(miniature.COMMANDS, "judge", ended)
    assert miniature.main(["judge"]) == code
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.strip().startswith(told) and shown.err.strip().count("\n") == 0
