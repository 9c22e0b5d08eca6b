"""Formats that Pillow reads with a package beside it (T3). Where a package is missing, the tests of its format skip."""

import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from train_rigs.pictures import data_config, noise_image, save_noise

from gcfg_core.errors import InputError
from training.data import image_file, plugins
from training.data.jxl_header import jxl_size
from training.data.picture import Size
from training.data.pixels import load_pixels
from training.data.plugins import AVIF, HEIF, JXL, plugin_of
from training.data.scan import Scan, scan_folder

HEIC_HEAD = (24).to_bytes(4, "big") + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(40)
FORMATS = {"heic": ("HEIF", HEIF), "jxl": ("JXL", JXL), "avif": ("AVIF", AVIF)}
COLOURS = {(0, 0): (250, 0, 0), (1, 0): (0, 250, 0), (0, 1): (0, 0, 250), (1, 1): (250, 250, 250)}
UPRIGHT_OF_6 = [(0, 0, 250), (250, 0, 0), (250, 250, 250), (0, 250, 0)]


def _reader(ending: str) -> str:
    """Pillow's name of a format, with its plugin; skips the test where that is not installed."""
    name, plugin = FORMATS[ending]
    if plugin.is_needed:
        pytest.importorskip(plugin.module)
    assert name in image_file.readable_formats()
    return name


def _forget() -> None:
    plugins.problems.cache_clear()
    image_file.readable_formats.cache_clear()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pillow as it is where no plugin is installed."""
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "JXL")])
    for plugin in plugins.PLUGINS:
        monkeypatch.setitem(sys.modules, plugin.module, None)  # type: ignore[arg-type]
    _forget()
    yield
    monkeypatch.undo()
    _forget()


def _quarters() -> Image.Image:
    image = Image.new("RGB", (96, 64))
    for (x, y), colour in COLOURS.items():
        image.paste(colour, (48 * x, 32 * y, 48 * x + 48, 32 * y + 32))
    return image


def _corners(scan: Scan) -> list[tuple[int, ...]]:
    """Colours of the four quarters of the only picture, rounded to what a lossy format keeps."""
    [picture] = scan.pictures
    pixels, _ = load_pixels(picture, picture.size)
    width, height = picture.size
    places = [(height // 4, width // 4), (height // 4, 3 * width // 4), (3 * height // 4, width // 4),
              (3 * height // 4, 3 * width // 4)]  # fmt: skip
    values = ((pixels + 1) * 127.5 / 250).round() * 250
    return [tuple(int(value) for value in values[:, y, x]) for y, x in places]


@pytest.mark.parametrize("ending", FORMATS)
def test_pictures_of_phones_are_used(tmp_path: Path, ending: str) -> None:
    name = _reader(ending)
    _quarters().save(tmp_path / f"a.{ending}", quality=95)
    scan = scan_folder(data_config(tmp_path))
    assert [(p.format, p.size, p.transparent) for p in scan.pictures] == [(name, Size(96, 64), False)]
    assert _corners(scan) == list(COLOURS.values())


@pytest.mark.parametrize("ending", FORMATS)
def test_their_transparency_is_seen(tmp_path: Path, ending: str) -> None:
    _reader(ending)
    image = _quarters().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    image.save(tmp_path / f"a.{ending}", quality=95)
    scan = scan_folder(data_config(tmp_path))
    assert scan.pictures[0].transparent and _corners(scan) == [(250, 250, 250)] * 4


def test_a_heic_file_is_turned_once(tmp_path: Path) -> None:
    _reader("heic")
    exif = Image.Exif()
    exif[0x0112] = 6
    _quarters().save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    scan = scan_folder(data_config(tmp_path))
    assert scan.pictures[0].size == Size(64, 96) and _corners(scan) == UPRIGHT_OF_6


def test_a_jxl_file_of_a_jpeg_is_turned_once_and_exif_alone_turns_none(tmp_path: Path) -> None:
    _reader("jxl")
    exif = Image.Exif()
    exif[0x0112] = 6
    _quarters().save(tmp_path / "source.jpg", quality=95, exif=exif)
    with Image.open(tmp_path / "source.jpg") as source:
        (tmp_path / "one").mkdir()
        source.save(tmp_path / "one" / "a.jxl", lossless_jpeg=True)
    scan = scan_folder(data_config(tmp_path / "one"))
    assert scan.pictures[0].size == Size(64, 96) and _corners(scan) == UPRIGHT_OF_6
    (tmp_path / "two").mkdir()
    _quarters().save(tmp_path / "two" / "a.jxl", exif=exif.tobytes())
    scan = scan_folder(data_config(tmp_path / "two"))
    assert scan.pictures[0].size == Size(96, 64) and _corners(scan) == list(COLOURS.values())


def test_without_its_plugin_the_message_names_the_package(tmp_path: Path, bare: None) -> None:
    save_noise(tmp_path, [(20, 20)])
    (tmp_path / "a.heic").write_bytes(HEIC_HEAD)
    (tmp_path / "b.jxl").write_bytes(b"\xff\x0a" + bytes(20))
    (tmp_path / "c.jxl").write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20))
    (tmp_path / "movie.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    scan = scan_folder(data_config(tmp_path))
    told = {entry.path.name: (entry.kind, entry.reason) for entry in scan.rejected}
    heic, jxl = "HEIC or HEIF picture: pip install pillow-heif", "JPEG XL picture: pip install pillow-jxl-plugin"
    assert told == {
        "a.heic": ("needs a plugin", heic), "b.jxl": ("needs a plugin", jxl), "c.jxl": ("needs a plugin", jxl),
        "movie.mp4": ("not an image", "no format that Pillow reads"),
    }  # fmt: skip
    assert f"left out, needs a plugin: 3\n  {tmp_path / 'a.heic'}: {heic}" in scan.summary()
    (tmp_path / "000.png").unlink()
    with pytest.raises(InputError, match="got 3 needs a plugin, 1 not an image. For example .*pip install pillow-heif"):
        scan_folder(data_config(tmp_path))


def test_a_plugin_that_cannot_be_used_says_why(tmp_path: Path, bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    save_noise(tmp_path / "images", [(20, 20)])
    (tmp_path / "images" / "a.heic").write_bytes(HEIC_HEAD)
    (tmp_path / "pillow_heif.py").write_text("raise ImportError('libheif.so.1: no such file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pillow_heif")
    [entry] = scan_folder(data_config(tmp_path / "images")).rejected
    assert entry.reason == "HEIC or HEIF picture: pillow-heif cannot be used (libheif.so.1: no such file)"


def test_a_file_is_looked_at_again_once_its_plugin_is_there(
    tmp_path: Path, bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small module stands in for the package: it reads every HEIC file as a grey picture."""
    images = tmp_path / "images"
    save_noise(images, [(20, 20)])
    (images / "a.heic").write_bytes(HEIC_HEAD)
    config = data_config(images, cache=tmp_path / "cache")
    assert len(scan_folder(config).pictures) == 1
    (tmp_path / "pillow_heif.py").write_text(
        "from PIL import Image, ImageFile\n"
        "class Grey(ImageFile.ImageFile):\n"
        "    format = 'HEIF'\n"
        "    def _open(self):\n"
        "        self._size, self._mode, self.tile = (30, 20), 'L', []\n"
        "    def load(self):\n"
        "        self.im = Image.new('L', (30, 20), 128).im\n"
        "        return super().load()\n"
        "def register_heif_opener():\n"
        "    Image.register_open('HEIF', Grey, lambda head: head[4:12] == b'ftypheic')\n"
    )
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pillow_heif")
    importlib.invalidate_caches()
    _forget()
    scan = scan_folder(config)
    assert [(p.format, p.size) for p in scan.pictures] == [("PNG", Size(20, 20)), ("HEIF", Size(30, 20))]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_broken_file_is_no_other_kind(tmp_path: Path, ending: str) -> None:
    _reader(ending)
    save_noise(tmp_path, [(20, 20)])
    noise_image(64, 64, 1).save(tmp_path / f"a.{ending}")
    data = (tmp_path / f"a.{ending}").read_bytes()
    for number, part in enumerate((data[:40], data[: len(data) // 2], data[:20] + bytes(len(data) - 20))):
        (tmp_path / f"a{number}.{ending}").write_bytes(part)
    scan = scan_folder(data_config(tmp_path))
    assert {entry.path.name: entry.kind for entry in scan.rejected} == {
        f"a{number}.{ending}": "broken" for number in range(3)
    }


def _bits(*fields: tuple[int, int]) -> bytes:
    """Numbers with their counts of bits, the least significant first."""
    value = place = 0
    for number, count in fields:
        value |= number << place
        place += count
    return value.to_bytes(-(-place // 8) + 8, "little")


def test_the_size_of_a_jxl_file_is_read_from_its_beginning() -> None:
    """ISO/IEC 18181-1, SizeHeader: small sizes in steps of 8, four lengths of number, seven ratios."""
    small = b"\xff\x0a" + _bits((1, 1), (3, 5), (0, 3), (7, 5))
    assert jxl_size(small) == Size(64, 32)
    assert jxl_size(b"\xff\x0a" + _bits((0, 1), (1, 2), (1079, 13), (5, 3))) == Size(1920, 1080)
    large = b"\xff\x0a" + _bits((0, 1), (2, 2), (49_999, 18), (0, 3), (3, 2), (999_999, 30))
    assert jxl_size(large) == Size(1_000_000, 50_000)
    signature = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl " + bytes(8)
    assert jxl_size(signature + b"\0\0\0\0jxlc" + small) == Size(64, 32)
    assert jxl_size(signature + (20).to_bytes(4, "big") + b"jxlp" + bytes(4) + small) == Size(64, 32)
    for wrong in (b"", b"\xff\x0a", signature, signature + b"\0\0\0\1jxlc", b"\x89PNG" + bytes(40)):
        assert jxl_size(wrong) is None


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 9), (40, 30), (37, 600), (513, 512), (9000, 3)])
def test_the_size_is_the_plugins(size: tuple[int, int]) -> None:
    _reader("jxl")
    for container in (False, True):
        file = io.BytesIO()
        Image.new("L", size).save(file, "JXL", use_container=container)
        assert jxl_size(file.getvalue()) == Size(*size)


def test_a_huge_jxl_file_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _reader("jxl")
    save_noise(tmp_path, [(20, 20)])
    noise_image(64, 64, 1).save(tmp_path / "a.jxl")
    opened: list[object] = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda file, **given: (opened.append(file.name), real(file, **given))[1])
    [entry] = scan_folder(data_config(tmp_path, max_pixels=1000)).rejected
    assert (entry.kind, entry.reason) == ("huge", "64x64, more than 1000 pixels")
    assert opened == [str(tmp_path / "000.png")]


def test_what_kind_a_file_is() -> None:
    avif = (28).to_bytes(4, "big") + b"ftypmif1" + bytes(4) + b"mif1avifmiaf"
    assert plugin_of(HEIC_HEAD) is HEIF and plugin_of(avif) is AVIF
    assert plugin_of(b"\0\0\0\x14ftypisom" + bytes(4) + b"mp42" + b"heic") is None  # beyond the box
    assert plugin_of(b"") is None and plugin_of(b"\0\0\0\x18ftyp") is None
