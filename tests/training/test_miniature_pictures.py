"""The miniature world: its drawings, their captions and labels, and the judge that tells them apart."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from gcfg_core.errors import InputError
from training.miniature.data import PictureCounts, attribution, pack, splits
from training.miniature.draw import DRAWING, draw
from training.miniature.judge import GLASSES_JUDGE, JUDGE, accuracy, read_judge, train_judge
from training.miniature.labelled import CLASSES, UNKNOWN, read_labelled
from training.miniature.pictures import caption, pictures
from training.miniature.spectacles import put_on, with_spectacles
from training.miniature.styles import BACKGROUND, GLASSES, OPEN, PIXEL, SOURCES, STYLES, WORN
from training.miniature.styles import TOON as TOON_STYLE

STARTER = Path(__file__).parents[2] / "starter"
PICTURES = STARTER / "pictures.zip"
SMALL = PictureCounts(faces=20, others=5, concept=10, tests=10)


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
    told = caption("a face", {"background": "red", "skin": "dark", "hair": "gray", "glasses": "yes"})
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
    judge = read_judge(STARTER / JUDGE)
    for part in ("toon/test", "pixel/test", "open/test"):
        found = read_labelled(PICTURES, part)
        right = accuracy(judge, found)
        assert min(right.values()) >= 0.99, (part, right)


def test_the_judge_of_glasses_is_right_on_pictures_it_never_saw() -> None:
    judge = read_judge(STARTER / GLASSES_JUDGE, WORN)
    toons, pixel, world = (read_labelled(PICTURES, f"{part}/test") for part in ("toon", "pixel", "open"))
    assert toons.labels[GLASSES].sum() == 0
    assert accuracy(judge, toons)[GLASSES] >= 0.99 and accuracy(judge, with_spectacles(toons, seed=1))[GLASSES] >= 0.85
    for found in (pixel, world):
        assert 0.2 < found.labels[GLASSES][found.labels[GLASSES] != UNKNOWN].double().mean() < 0.4
        assert accuracy(judge, found)[GLASSES] >= 0.98
    assert (world.labels[GLASSES] == UNKNOWN).sum() == 90  # thumbs, shapes and rings


def test_spectacles_are_drawn_over_the_eyes_and_nowhere_else() -> None:
    known = read_labelled(PICTURES, "toon/test")
    toons, light = known.pixels[:50], known.pixels[known.labels["skin"] == CLASSES["skin"].index("light")]
    worn = put_on(toons, seed=0)
    dark = light.float().mean((0, 1))[12:22, 10:22] < 140.0  # the eyes: brows are brighter in the mean
    changed = (worn != toons).any(1)
    assert torch.equal(worn, put_on(toons, seed=0)) and not torch.equal(worn, put_on(toons, seed=1))
    often = changed.double().mean(0)[12:22, 10:22]
    assert changed.flatten(1).any(1).all() and changed[:, 11:23, 6:26].sum() == changed.sum()
    assert 2 <= dark.sum() <= 20 and often[dark].mean() > 0.5 > often.mean()
    assert len({picture.numpy().tobytes() for picture in changed}) > 40


def test_training_a_judge_is_repeatable_and_learns() -> None:
    found = read_labelled(PICTURES, "open/test", "toon/test", "pixel/test")
    one, other = (train_judge(found, steps=30) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    right = accuracy(one, found)
    assert right["background"] > 2 / len(CLASSES["background"])
