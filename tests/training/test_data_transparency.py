"""T14: the dataset report says what becomes of transparent parts and of sides, and settings change it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from train_rigs.pictures import TinyCodec, data_config, save_half_transparent, save_noise

from training.console.setting_error import setting_error
from training.data.buckets import make_buckets
from training.data.dataset import batches
from training.data.latent_cache import LatentCache
from training.data.latent_entry import entry_key
from training.data.latent_reader import wanted_latents
from training.data.order import BatchOrder
from training.data.pixels import load_pixels
from training.data.scan import Scan, scan_folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """One picture with transparency, one with an alpha of 255 everywhere, one without alpha."""
    folder = tmp_path / "images"
    save_half_transparent(folder / "a.png")
    save_half_transparent(folder / "b.png", left_alpha=255, size=(33, 32))
    save_noise(folder, [(32, 32)])
    return folder


def _line(scan: Scan, start: str) -> list[str]:
    return [line for line in scan.summary().splitlines() if line.startswith(start)]


def test_the_report_tells_what_becomes_of_transparency(images: Path) -> None:
    scan = scan_folder(data_config(images))
    assert [picture.transparent for picture in scan.pictures] == [False, True, False]
    [line] = _line(scan, "alpha ")
    assert "1 pictures have transparent parts, composited onto #ffffff (--background)" in line
    [line] = _line(scan_folder(data_config(images, background="black", alpha_mask=True)), "alpha ")
    assert "onto #000000" in line and "left out of the loss (--alpha-mask)" in line
    (images / "a.png").unlink()
    assert _line(scan_folder(data_config(images)), "alpha ") == []
    [line] = _line(scan_folder(data_config(images, alpha_mask=True)), "alpha ")
    assert "--alpha-mask does nothing" in line


@pytest.mark.parametrize(
    ("flip", "told"), [(0.5, "with a probability of 0.5"), (0.0, "never"), (1.0, "left to right, always")]
)
def test_the_report_tells_how_often_pictures_are_mirrored(images: Path, flip: float, told: str) -> None:
    [line] = _line(scan_folder(data_config(images, flip=flip)), "mirrored ")
    assert told in line and line.endswith("(--flip)")


def test_what_a_scan_remembers_has_transparency(images: Path, tmp_path: Path) -> None:
    config = data_config(images, cache=tmp_path / "cache")
    assert scan_folder(config).pictures == scan_folder(config).pictures
    assert [picture.transparent for picture in scan_folder(config).pictures] == [False, True, False]


@pytest.mark.parametrize(
    ("given", "colour"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48)), ("Black", (0, 0, 0))]
)
def test_transparent_parts_take_the_background(images: Path, given: str, colour: tuple[int, int, int]) -> None:
    config = data_config(images, background=given)
    picture = scan_folder(config).pictures[1]
    pixels, opacity = load_pixels(picture, picture.size, config.transparency.background)
    assert opacity is not None
    expected = torch.tensor(colour).div(127.5).sub(1.0)[:, None, None].expand(-1, 32, 16)
    torch.testing.assert_close(pixels[:, :, :16], expected)
    assert bool((opacity[:, :, :16] == 0).all()) and bool((opacity[:, :, 16:] == 1).all())
    unseen, _ = load_pixels(picture, picture.size)
    assert torch.equal(pixels[:, :, 16:], unseen[:, :, 16:])


def test_a_colour_has_one_name_and_others_are_refused(images: Path) -> None:
    assert data_config(images, background="white") == data_config(images, background="#FFF") == data_config(images)
    with pytest.raises(ValueError) as caught:
        data_config(images, background="whitish")
    told = str(setting_error(caught.value, type(data_config(images))))  # type: ignore[arg-type]
    assert "background: expected a colour, for example white, black or #808080, got 'whitish'" in told


def _cache(folder: Path, scan: Scan) -> LatentCache:
    return LatentCache(folder, TinyCodec(), {"precision": "float32"}, scan.config.transparency)


def _keys(images: Path, **settings: Any) -> list[str]:
    scan = scan_folder(data_config(images, **settings))
    return [_cache(images, scan).key(picture, picture.size, False) for picture in scan.pictures]


def test_latents_of_the_default_keep_the_names_of_version_0_1_0(images: Path) -> None:
    scan = scan_folder(data_config(images))
    expected = [entry_key(p.sha256, "tiny", p.size, False, {"precision": "float32"}) for p in scan.pictures]
    assert _keys(images) == expected


def test_what_becomes_of_transparency_is_in_the_names_of_latents_that_have_some(images: Path) -> None:
    kinds: list[Mapping[str, Any]] = [
        {}, {"background": "black"}, {"background": "red"}, {"alpha_mask": True},
        {"alpha_mask": True, "background": "black"},
    ]  # fmt: skip
    keys = [_keys(images, **kind) for kind in kinds]
    assert len({first for first, _, _ in keys}) == 1 and len({last for _, _, last in keys}) == 1
    assert len({clear for _, clear, _ in keys}) == len(kinds)


@dataclass(frozen=True)
class Filled:
    scan: Scan
    cache: LatentCache
    order: BatchOrder


def _filled(images: Path, folder: Path, **settings: Any) -> Filled:
    scan = scan_folder(data_config(images, **settings))
    cache = _cache(folder, scan)
    buckets = make_buckets([picture.size for picture in scan.pictures], scan.config)
    wanted = wanted_latents(scan.pictures, buckets, scan.config.flip)
    estimate = cache.estimate(wanted)
    cache.fill(wanted, batch=2)
    assert estimate == sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return Filled(scan, cache, BatchOrder(buckets, 2, 3, scan.config.flip))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_have_the_masks_of_their_pictures(images: Path, tmp_path: Path, workers: int) -> None:
    given = _filled(images, tmp_path / "cache", alpha_mask=True)
    seen = set()
    for batch in batches(given.order, given.cache, given.scan, 0, 12, workers=workers):
        assert batch.mask is not None and batch.mask.shape == (2, 1, *batch.latents.shape[2:])
        for index, slot in enumerate(given.order.slots(batch.step)):
            expected = torch.ones(1, 4, 4)
            if given.scan.pictures[slot.picture].name == "a.png":
                expected[:, :, slice(2, None) if slot.flip else slice(2)] = 0.0
                seen.add(slot.flip)
            assert torch.equal(batch.mask[index], expected)
    assert seen == {False, True}


def test_without_the_option_there_are_no_masks(images: Path, tmp_path: Path) -> None:
    given = _filled(images, tmp_path / "cache")
    assert all(batch.mask is None for batch in batches(given.order, given.cache, given.scan, 0, 4))
