"""The miniature world: its drawings, its judge, its recipe at a tiny size, and the arithmetic of its experiment."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from train_rigs.samples import concept

from gcfg_core.concept_file import read_concept, write_concept
from gcfg_core.input_error import InputError
from training.cli import main
from training.export.newest import newest_concept
from training.interrupted import Interrupted
from training.miniature import __main__ as miniature
from training.miniature.data import Amounts as PictureAmounts
from training.miniature.data import attribution, pack, splits
from training.miniature.draw import DRAWING, draw
from training.miniature.experiment import available, over_seeds
from training.miniature.judge import accuracy, read_judge, train_judge
from training.miniature.labelled import CLASSES, UNKNOWN, read_labelled
from training.miniature.pictures import caption, pictures
from training.miniature.recipe import TINY, recipes
from training.miniature.samples import Samples, path_of, read_samples, wanted, write_samples
from training.miniature.settings import BASE, TOON, Setting, gcfg
from training.miniature.ship import CHOSEN
from training.miniature.styles import BACKGROUND, OPEN, PIXEL, SOURCES, STYLES
from training.miniature.styles import TOON as TOON_STYLE
from training.miniature.train import _collect, train_all
from training.run.session import train

STARTER = Path(__file__).parents[2] / "starter"
PICTURES = STARTER / "pictures.zip"
SMALL = PictureAmounts(faces=20, others=5, concept=10, tests=10)


def test_pictures_follow_from_their_place_alone() -> None:
    once, again = (pictures(TOON_STYLE, 30, "train", 0.0) for _ in range(2))
    assert once == again and once[:10] == pictures(TOON_STYLE, 10, "train", 0.0)
    seeds = {picture.options["seed"] for picture in once}
    assert len(seeds) == 30 and seeds.isdisjoint(p.options["seed"] for p in pictures(TOON_STYLE, 30, "test", 0.0))


def test_captions_tell_what_is_drawn() -> None:
    for picture in splits(SMALL)["open/train"]:
        for name, value in picture.attributes.items():
            assert f"{value} {name}" in picture.caption or f" {name}" not in picture.caption
            colours = {"background": "backgroundColor", "skin": picture.style.skin, "hair": picture.style.hair}
            assert len(picture.options[colours[name]]) == 1
        glasses = picture.style.glasses
        if glasses:
            drawn = glasses[0] if ", glasses" in picture.caption else glasses[1]
            assert drawn.items() <= picture.options.items()
    told = caption("a face", {"background": "red", "skin": "dark", "hair": "gray"}, glasses=True)
    assert told == "a face, dark skin, gray hair, glasses, red background"


def test_captions_never_name_a_concept() -> None:
    every = splits(SMALL)
    for name in ("toon/train", "pixel/train"):
        assert all(picture.caption.startswith("a face") for picture in every[name])
    words = " ".join(picture.caption for picture in every["open/train"])
    assert "toon" not in words and "pixel" not in words
    unnamed = [p.caption.startswith("a face") for p in every["open/train"] if p.style.is_face]
    assert 0.3 < sum(unnamed) / len(unnamed) < 0.7


def test_every_drawing_is_free_and_named() -> None:
    told = attribution()
    for style in (TOON_STYLE, PIXEL, *OPEN):
        assert style.art.endswith(("CC0 1.0", "CC BY 4.0")) and style.art in told and SOURCES[style.name] in told
    assert set(SOURCES) == set(STYLES)


def test_the_lock_file_pins_what_is_used_and_names_no_registry() -> None:
    lock = json.loads((DRAWING / "package-lock.json").read_text())
    packages = {name.removeprefix("node_modules/"): facts for name, facts in lock["packages"].items() if name}
    assert {f"@dicebear/{name}" for name in (*STYLES, "core")} <= set(packages)
    assert all(facts["integrity"].startswith("sha512-") and "resolved" not in facts for facts in packages.values())
    assert "http" not in json.dumps(lock)


@pytest.mark.skipif(not shutil.which("npm"), reason="drawing needs Node.js, which this machine lacks")
def test_drawings_show_their_labels() -> None:
    pytest.importorskip("resvg_py", reason="drawing needs resvg-py, which is not installed")
    wanted_ones = [style_pictures[0] for style_pictures in (pictures(s, 1, "test", 0.0) for s in STYLES.values())]
    try:
        images = list(draw(wanted_ones, 32))
    except InputError as error:
        if error.name == "npm ci":
            pytest.skip(f"DiceBear cannot be installed here: {error}")
        raise
    for picture, image in zip(wanted_ones, images, strict=True):
        assert image.size == (32, 32) and image.mode == "RGB"
        if picture.style.is_face:
            assert "{:02x}{:02x}{:02x}".format(*image.getpixel((0, 0))) == BACKGROUND[picture.attributes["background"]]


def test_shipped_pictures_show_their_labels() -> None:
    for part, count in (("toon/test", 1000), ("pixel/test", 1000), ("toon/train", 1500), ("pixel/train", 1500)):
        found = read_labelled(PICTURES, part)
        assert len(found) == count and not (found.labels["hair"] == UNKNOWN).any()
        names = [CLASSES["background"][index] for index in found.labels["background"].tolist()]
        corners = ["".join(f"{value:02x}" for value in colour) for colour in found.pixels[:, :, 0, 0].tolist()]
        assert corners == [BACKGROUND[name] for name in names]


def test_the_archive_holds_what_the_folder_does(tmp_path: Path) -> None:
    with zipfile.ZipFile(PICTURES) as archive:
        archive.extractall(tmp_path / "data")
    pack(tmp_path / "data", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == PICTURES.read_bytes()
    folder, packed = (read_labelled(source, "open/test") for source in (tmp_path / "data", PICTURES))
    assert torch.equal(folder.pixels, packed.pixels) and torch.equal(folder.labels["hair"], packed.labels["hair"])
    with pytest.raises(InputError, match="metadata.jsonl"):
        read_labelled(PICTURES, "toon/validation")


def test_the_judge_is_right_on_pictures_it_never_saw() -> None:
    judge = read_judge(STARTER / "judge.safetensors")
    for part in ("toon/test", "pixel/test", "open/test"):
        found = read_labelled(PICTURES, part)
        right = accuracy(judge.told(judge.see(found.pixels)), found.labels)
        assert min(right.values()) >= 0.99, (part, right)


def test_training_a_judge_is_repeatable_and_learns() -> None:
    found = read_labelled(PICTURES, "open/test", "toon/test", "pixel/test")
    one, other = (train_judge(found, steps=30) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    right = accuracy(one.told(one.see(found.pixels)), found.labels)
    assert right["background"] > 2 / len(CLASSES["background"])


def test_samples_are_kept_apart_and_come_back(tmp_path: Path) -> None:
    setting = gcfg(1.5, 3.0)
    paths = {path_of(tmp_path, one, seed, 8) for one in (setting, gcfg(1.5, 2.0)) for seed in (0, 1)}
    assert len(paths) == 4
    kept = Samples(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), 2.5, 1.0)
    path = path_of(tmp_path, setting, 0, 8)
    write_samples(path, kept, setting)
    read = read_samples(path)
    assert torch.equal(read.pixels, kept.pixels) and (read.evaluations, read.seconds) == (2.5, 1.0)
    assert wanted(0, 5) == wanted(0, 9)[:5] and wanted(0, 5) != wanted(1, 5)


def test_only_settings_whose_models_are_there_are_run(tmp_path: Path) -> None:
    (tmp_path / "concepts").mkdir()
    assert {one.models for one in available(tmp_path)} == {(BASE,)}
    for name in ("toon", "toon@250", "toon_with_text@250", "toon_of_50_pictures"):
        (tmp_path / "concepts" / f"{name}.safetensors").touch()
    found = available(tmp_path)
    assert {"GCFG 1.5, 3", "GCFG after 250 steps", "GCFG with toon_of_50_pictures"} <= {one.name for one in found}
    assert len({(one.group, one.name) for one in found}) == len(found) == len({one.as_json() for one in found})
    assert not any("toon_with_text" in one.models for one in found)


def test_numbers_over_seeds() -> None:
    numbers = ("kid", "style", "background", "skin", "hair", "control", "nearest", "diversity", "evaluations")
    rows = [{"group": "g", "name": "n", "fd": fd, **dict.fromkeys(numbers, 1.0)} for fd in (1.0, 2.0, 6.0)]
    (row,) = over_seeds(rows)
    assert row["fd"] == 3.0 and row["fd_std"] == pytest.approx(7.0**0.5) and row["seeds"] == 3 and row["kid_std"] == 0.0


def test_evaluations_of_a_setting_follow_from_its_terms() -> None:
    assert gcfg(1.0, 1.0).models == (BASE, TOON)
    assert Setting("concept alone", "g", TOON).models == (TOON,)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `data.make` leaves it, with fewer pictures."""
    folder = tmp_path_factory.mktemp("data")
    with zipfile.ZipFile(PICTURES) as archive:
        archive.extractall(folder)
    shutil.move(folder / "open" / "test", folder / "open" / "train")
    for name in ("toon", "pixel"):
        for path in sorted((folder / name / "train").glob("*.png"))[60:]:
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
    names = {"toon@10", "toon@20", "toon_with_text@10", "toon_with_text@20", "pixel@10"}
    assert {path.stem for path in (trained / "concepts").iterdir()} == names
    rows = [json.loads(line) for line in (tmp_path / "runs" / "base" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    kinds = {path.stem: read_concept(path).kind for path in (trained / "concepts").iterdir()}
    assert kinds["toon@20"] == kinds["pixel@10"] == "null-text-unet" and kinds["toon_with_text@20"] == "unet"
    (trained / "concepts" / "toon@10.safetensors").unlink()
    with pytest.raises(InputError, match="a run of 10 steps, as toon@10 is, got one of 20"):
        train_all(data, tmp_path / "runs", trained, TINY)  # the run has gone further
    runs = dict(recipes(data, tmp_path / "at once", trained / "world", TINY))
    train(runs["toon@20"])
    whole = load_file(newest_concept(tmp_path / "at once" / TOON) or "")
    halves = load_file(trained / "concepts" / "toon@20.safetensors")
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


def test_shipped_models_have_their_cards() -> None:
    files = [*(STARTER / "concepts").glob("*.safetensors"), STARTER / "world" / "README.safetensors"]
    assert {path.stem for path in files} == {*CHOSEN, "README"}
    for path in files:
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert "licence" in card and "steps of" in card and "None" not in card
    assert sum(path.stat().st_size for path in STARTER.rglob("*") if path.is_file()) <= 46e6
    weights = [path for path in STARTER.rglob("*.safetensors")]
    assert sum(path.stat().st_size for path in weights) <= 40e6


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
