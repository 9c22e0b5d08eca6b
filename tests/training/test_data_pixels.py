"""Pixels of pictures in every mode, turned as EXIF says, in the middle of their buckets."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor
from train_rigs.fuzzed_files import encoded
from train_rigs.pictures import noise_image, picture_at

from gcfg_core.errors import InputError
from training.data.colour import to_rgb
from training.data.image_file import UnusablePicture, pixel_limit
from training.data.picture import Size
from training.data.pixels import decode, load_pixels
from training.data.placement import placement

EIGHT = Size(8, 8)
# Orientation -> where the stored top left corner of a 3 x 2 picture is seen, as (row, column) of the upright one.
CORNERS = {1: (0, 0), 2: (0, 2), 3: (1, 2), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (2, 1), 8: (2, 0)}


def _values(pixels: Tensor) -> Tensor:
    """[3, H, W] of -1..1 as 0..255."""
    return (pixels + 1.0) * 127.5


def _decoded(data: bytes) -> Image.Image:
    with pixel_limit(10**6):
        return decode(io.BytesIO(data), 10**6)[0]


def _flat(tmp_path: Path, image: Image.Image, kind: str = "PNG", **options: object) -> list[float]:
    """Red, green and blue of the middle of a picture saved and loaded."""
    path = tmp_path / f"flat.{kind.lower()}"
    path.write_bytes(encoded(image, kind, **options))
    pixels = _values(load_pixels(picture_at(path), EIGHT)[0])
    assert pixels.shape == (3, 8, 8) and pixels.dtype == torch.float32
    return [round(value, 3) for value in pixels[:, 4, 4].tolist()]


def test_a_picture_of_the_buckets_size_comes_out_as_it_is(tmp_path: Path) -> None:
    image = noise_image(16, 8, 0)
    image.save(tmp_path / "a.png")
    pixels = load_pixels(picture_at(tmp_path / "a.png"), Size(16, 8))[0]
    assert torch.equal(_values(pixels).round().byte().permute(1, 2, 0), torch.from_numpy(np.array(image)))
    assert pixels.min() >= -1.0 and pixels.max() <= 1.0


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_orientation(turn: int, kind: str) -> None:
    stored = Image.new("RGB", (24, 16), "black")
    stored.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = turn
    seen = np.array(_decoded(encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))))
    assert seen.shape[:2] == ((16, 24) if turn < 5 else (24, 16))
    bright = seen.reshape(seen.shape[0] // 8, 8, seen.shape[1] // 8, 8, 3).mean((1, 3, 4)) > 128
    assert np.argwhere(bright).tolist() == [list(CORNERS[turn])]
    exif_of_pillow = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(stored, "PNG", exif=exif))))
    assert exif_of_pillow.size == seen.shape[1::-1]


@pytest.mark.parametrize(
    "block", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage of 40 bytes" * 2]
)
def test_broken_exif_turns_nothing(block: bytes) -> None:
    image = noise_image(12, 8, 1)
    assert _decoded(encoded(image, "PNG", exif=block)).tobytes() == image.tobytes()


@pytest.mark.parametrize("turn", [0, 9, 65535])
def test_unknown_orientation_turns_nothing(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    assert _decoded(encoded(noise_image(12, 8, 1), "JPEG", exif=exif)).size == (12, 8)


def test_modes_keep_their_colours(tmp_path: Path) -> None:
    assert _flat(tmp_path, Image.new("L", EIGHT, 77)) == [77, 77, 77]
    assert _flat(tmp_path, Image.new("1", EIGHT, 1)) == [255, 255, 255]
    assert _flat(tmp_path, Image.new("RGB", EIGHT, (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)) == [
        10, 20, 30]  # fmt: skip
    assert _flat(tmp_path, Image.new("CMYK", EIGHT, (255, 0, 0, 0)), "TIFF") == [0, 255, 255]
    red, green, blue = _flat(tmp_path, Image.new("CMYK", EIGHT, (0, 255, 255, 0)), "JPEG")
    assert red > 250 and green < 5 and blue < 5
    red, green, blue = _flat(tmp_path, Image.new("RGB", EIGHT, (200, 100, 50)), "JPEG")
    assert abs(red - 200) < 4 and abs(green - 100) < 4 and abs(blue - 50) < 4
    red, green, blue = _flat(tmp_path, Image.new("LAB", EIGHT, (255, 128, 128)), "TIFF")
    assert min(red, green, blue) > 250


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA",
                                  "RGBX", "RGBa", "La", "I;16", "I;16L", "I;16B", "I;16N"])  # fmt: skip
def test_every_mode_of_pillow_becomes_rgb(mode: str) -> None:
    assert to_rgb(Image.new(mode, (5, 3)))[0].mode == "RGB"


@pytest.mark.parametrize("value", [0, 257, 32896, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_is_scaled(tmp_path: Path, value: int, kind: str) -> None:
    assert _flat(tmp_path, Image.fromarray(np.full((8, 8), value, np.uint16)), kind) == [value / 257] * 3


@pytest.mark.parametrize("dtype", [">u2", "<i4", "<f4"])
def test_wide_numbers(dtype: str) -> None:
    values = np.linspace(0, 65535, 256).reshape(16, 16).astype(dtype)
    image = Image.frombytes("I;16B", (16, 16), values.tobytes()) if dtype == ">u2" else Image.fromarray(values)
    assert np.abs(np.array(to_rgb(image)[0])[..., 0] - np.arange(256.0).reshape(16, 16)).max() <= 1


def test_floats_by_their_range() -> None:
    def of(*values: float) -> list[int]:
        return np.array(to_rgb(Image.fromarray(np.array([values], np.float32)))[0])[0, :, 0].tolist()

    assert of(0.0, 0.5, 1.0) == [0, 128, 255]
    assert of(0.0, 100.0, 255.0) == [0, 100, 255]
    assert of(-3.0, 0.0, 3.0) == [0, 128, 255]
    assert of(float("nan"), float("inf"), 0.0, 1.0) == [0, 255, 0, 255]
    assert of(float("nan"), float("nan")) == [0, 0]


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    half = 255 - 128 * 255 / 255
    assert _flat(tmp_path, Image.new("RGBA", EIGHT, (255, 0, 0, 0))) == [255, 255, 255]
    assert _flat(tmp_path, Image.new("RGBA", EIGHT, (0, 0, 0, 128))) == [half] * 3
    assert _flat(tmp_path, Image.new("LA", EIGHT, (0, 128))) == [half] * 3
    assert _flat(tmp_path, Image.new("L", EIGHT, 9), transparency=9) == [255] * 3
    assert _flat(tmp_path, Image.new("RGB", EIGHT, (1, 2, 3)), transparency=(1, 2, 3)) == [255] * 3
    palette = Image.new("P", EIGHT, 0)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert _flat(tmp_path, palette, transparency=bytes([128, 255])) == [half] * 3
    assert _flat(tmp_path, palette, "GIF", transparency=0) == [255] * 3
    assert _flat(tmp_path, Image.fromarray(np.full((8, 8), 1000, np.uint16)), transparency=1000) == [255] * 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_give_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black", "red")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.array(_decoded(data)).min() > 250


def _swapped_profile() -> bytes:
    """A profile in which red and blue have changed places: sRGB's with the tags of two primaries swapped."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "odd!".encode("utf-16-be")).replace(b"sRGB built", b"odd  built")


def test_icc_profiles_are_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", EIGHT, (255, 0, 0))
    assert _flat(tmp_path, image, icc_profile=_swapped_profile()) == pytest.approx([0, 0, 255], abs=3)
    clear = Image.new("RGBA", EIGHT, (255, 0, 0, 0))
    assert _flat(tmp_path, clear, icc_profile=_swapped_profile()) == [255, 255, 255]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert _flat(tmp_path, image, icc_profile=srgb) == [255, 0, 0]


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB", "P"])
def test_profiles_that_do_not_fit_are_passed_over(mode: str) -> None:
    image = noise_image(8, 8, 3, mode)
    for profile in (b"rubbish", b"", _swapped_profile() if mode in ("L", "CMYK") else b"\0" * 200):
        plain = to_rgb(image)[0].tobytes()
        image.info["icc_profile"] = profile
        assert to_rgb(image)[0].tobytes() == plain


@pytest.mark.parametrize(
    ("size", "target"), [((40, 20), (8, 8)), ((21, 50), (16, 8)), ((7, 9), (24, 16)), ((33, 33), (8, 16))]
)
def test_resized_and_cropped_like_the_whole_picture(
    tmp_path: Path, size: tuple[int, int], target: tuple[int, int]
) -> None:
    image = noise_image(*size, 4)
    image.save(tmp_path / "a.png")
    place = placement(Size(*size), Size(*target))
    whole = image.resize(place.resized, Image.Resampling.LANCZOS)
    expected = whole.crop((place.left, place.top, place.left + target[0], place.top + target[1]))
    pixels = _values(load_pixels(picture_at(tmp_path / "a.png"), Size(*target))[0])
    assert (pixels - torch.from_numpy(np.array(expected)).permute(2, 0, 1)).abs().max() <= 1.0


def test_placement_tells_what_sdxl_wants_to_know() -> None:
    place = placement(Size(100, 41), Size(32, 32))
    assert place.resized == Size(78, 32) and (place.left, place.top) == (23, 0)
    assert place.time_ids() == [41, 100, 0, 23, 32, 32]
    odd = placement(Size(37, 32), Size(32, 32))
    mirrored = placement(Size(37, 32), Size(32, 32), flip=True)
    assert (odd.left, mirrored.left) == (2, 3)
    assert placement(Size(16, 16), Size(32, 32)).scale == 2.0
    assert placement(Size(64, 32), Size(32, 32)).kept == 0.5


def test_a_changed_or_missing_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise_image(8, 8, 5).save(path)
    picture = picture_at(path)
    noise_image(8, 8, 6).save(path)
    with pytest.raises(InputError, match="other bytes"):
        load_pixels(picture, EIGHT)
    path.unlink()
    with pytest.raises(InputError, match="an unreadable file"):
        load_pixels(picture, EIGHT)


def test_a_bomb_inside_an_icon_is_refused() -> None:
    """The icon's directory says 16 x 16, its PNG has more pixels than twice the limit."""
    png = encoded(Image.new("L", (400, 400)), "PNG")
    entry = bytes([16, 16, 0, 0, 1, 0, 32, 0]) + len(png).to_bytes(4, "little") + (22).to_bytes(4, "little")
    with pixel_limit(10_000), pytest.raises(UnusablePicture) as caught:
        decode(io.BytesIO(b"\0\0\1\0\1\0" + entry + png), 10_000)
    assert caught.value.kind == "huge"
