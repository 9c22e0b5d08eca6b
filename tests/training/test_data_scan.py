"""What a scan uses, what it leaves out and why, and what it remembers."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from train_rigs.fuzzed_files import bad_neighbours, encoded, png_header
from train_rigs.pictures import data_config, noise_image, save_noise

from gcfg_core.errors import InputError
from training.data import scan as scan_module
from training.data.picture import Size
from training.data.scan import Scan, scan_folder


def _names(scan: Scan) -> list[str]:
    return [picture.name for picture in scan.pictures]


def _kinds(scan: Scan) -> dict[str, str]:
    return {entry.path.name: entry.kind for entry in scan.rejected}


def test_finds_pictures_in_folders_in_order_of_names(tmp_path: Path) -> None:
    for place in ("b", "a/deep/er", ".hidden", "a/.hidden"):
        save_noise(tmp_path / place, [(20, 30)], first=len(place))
    noise_image(20, 20, 9).save(tmp_path / ".hidden.png")
    noise_image(21, 20, 10).save(tmp_path / "c.png")
    scan = scan_folder(data_config(tmp_path))
    assert _names(scan) == ["a/deep/er/009.png", "b/001.png", "c.png"]
    assert scan.hidden == 3 and not scan.rejected
    assert scan.pictures[0].size == Size(20, 30) and scan.pictures[0].format == "PNG"


def test_links_are_followed_once(tmp_path: Path) -> None:
    save_noise(tmp_path / "images/real", [(20, 20)])
    save_noise(tmp_path / "elsewhere", [(22, 22)], first=1)
    (tmp_path / "images/real/up").symlink_to(tmp_path / "images", target_is_directory=True)
    (tmp_path / "images/other").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "images/real", target_is_directory=True)
    scan = scan_folder(data_config(tmp_path / "images"))
    assert sorted(picture.size for picture in scan.pictures) == [Size(20, 20), Size(22, 22)]
    assert not scan.rejected


def test_every_rejected_file_has_a_reason(tmp_path: Path) -> None:
    [good] = save_noise(tmp_path, [(40, 40)])
    shutil.copy(good, tmp_path / "copy.png")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:1000])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "movie.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    (tmp_path / "huge.png").write_bytes(png_header(50000, 50000))
    (tmp_path / "large.png").write_bytes(encoded(noise_image(60, 60, 2), "PNG"))
    noise_image(100, 7, 1).save(tmp_path / "tiny.png")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    scan = scan_folder(data_config(tmp_path, max_pixels=2000))
    assert _names(scan) == ["000.png"]
    assert _kinds(scan) == {
        "copy.png": "duplicate", "cut.png": "broken", "text.jpg": "not an image", "empty.png": "not an image",
        "movie.mp4": "not an image", "huge.png": "huge", "large.png": "huge", "tiny.png": "tiny",
    }  # fmt: skip
    assert all("\n" not in entry.reason and entry.reason for entry in scan.rejected)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_limit_above_pillows_own_holds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_noise(tmp_path, [(40, 40)])
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    assert len(scan_folder(data_config(tmp_path)).pictures) == 1


def test_what_is_no_file_is_reported_unopened(tmp_path: Path) -> None:
    odd = bad_neighbours(tmp_path)
    [captioned] = save_noise(tmp_path, [(20, 20)])
    captioned.with_suffix(".txt").write_text("a caption")
    scan = scan_folder(data_config(tmp_path, workers=2, captions="sidecar"))
    assert _kinds(scan) == {"pipe.png": "not an image", "nowhere.png": "unreadable", "loop.png": "unreadable"}
    assert [picture.path for picture in scan.pictures] == [captioned, odd[-1]]
    assert "latin-" in scan.summary() and scan.summary().encode()


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Without the rights of root, where the tests run as root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_files_without_permission() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        save_noise(Path(place), [(20, 20), (20, 20)])
        os.chmod(os.path.join(place, "000.png"), 0)
        with ordinary_user():
            scan = scan_folder(data_config(Path(place)))
    assert _kinds(scan) == {"000.png": "unreadable"} and scan.rejected[0].reason == "Permission denied"


def test_unreadable_files_and_folders_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, config = tmp_path / "images", data_config(tmp_path / "images", cache=tmp_path / "cache")
    save_noise(images, [(20, 20), (20, 20)])
    save_noise(images / "shut", [(20, 20)], first=2)
    with monkeypatch.context() as patched:
        scandir = os.scandir
        patched.setattr("training.data.scan.open", _refuse("000.png", open), raising=False)
        patched.setattr("training.data.walk.os.scandir", _refuse("shut", scandir))
        scan = scan_folder(config)
    assert _names(scan) == ["001.png"] and _kinds(scan) == {"000.png": "unreadable", "shut": "unreadable"}
    assert _names(scan_folder(config)) == ["000.png", "001.png", "shut/002.png"]


def _refuse(name: str, real):  # noqa: ANN001, ANN202
    def opened(path, *arguments):  # noqa: ANN001, ANN002, ANN202
        if os.path.basename(path) == name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments)

    return opened


def test_workers_change_nothing(tmp_path: Path) -> None:
    save_noise(tmp_path, [(20 + i, 30) for i in range(30)])
    (tmp_path / "zz.png").write_text("no")
    alone, four = (scan_folder(data_config(tmp_path, workers=workers)) for workers in (0, 4))
    assert alone.pictures == four.pictures and alone.rejected == four.rejected and alone.digest == four.digest


@pytest.mark.parametrize("content", [None, "file", "empty", "text"])
def test_nothing_usable_is_one_line(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "images"
    if content == "file":
        folder.touch()
    elif content is not None:
        folder.mkdir()
    if content == "text":
        (folder / "a.jpg").write_text("no picture")
    with pytest.raises(InputError) as caught:
        scan_folder(data_config(folder))
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "why", "remedy"),
    [
        ({}, "shorter side below 32, a quarter of --resolution 128", "Lower --resolution, or give --min-side."),
        ({"min_side": 30}, "shorter side below --min-side 30", "Lower --min-side."),
    ],
)
def test_tiny_pictures_name_the_setting_that_made_them_so(
    tmp_path: Path, setting: dict[str, int], why: str, remedy: str
) -> None:
    paths = save_noise(tmp_path, [(40, 20), (20, 50)])
    (tmp_path / "a.txt").write_text("no picture")
    config = data_config(tmp_path, resolution=128, **setting)
    with pytest.raises(InputError) as caught:
        scan_folder(config)
    assert f"got 2 tiny, 1 not an image. For example {paths[0]}: 40x20, {why}. {remedy}" in str(caught.value)
    save_noise(tmp_path, [(100, 100)], first=2)
    report = scan_folder(config).summary().splitlines()
    assert f"left out, tiny: 2. {remedy}" in report and f"  {paths[1]}: 20x50, {why}" in report


class _Counted:
    """Counts the files that a scan opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        real = scan_module.examine

        def examine(file, max_pixels):  # noqa: ANN001, ANN202
            self.opened.append(file.name)
            return real(file, max_pixels)

        monkeypatch.setattr(scan_module, "examine", examine)

    def of(self, config) -> list[str]:  # noqa: ANN001
        self.opened = []
        scan_folder(config)
        return self.opened


def test_a_second_scan_opens_only_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    paths = save_noise(images, [(20, 20)] * 4)
    (images / "text.jpg").write_text("no picture")
    config, counted = data_config(images, cache=images / "cache"), _Counted(monkeypatch)
    first = scan_folder(config)
    assert counted.of(config) == [] and scan_folder(config) == first
    noise_image(22, 22, 50).save(paths[1])
    facts = paths[2].stat()
    replacement = paths[2].read_bytes()[:-1] + b"x"
    paths[2].write_bytes(replacement)
    os.utime(paths[2], ns=(facts.st_atime_ns, facts.st_mtime_ns))  # the same time and size, other bytes
    paths[3].unlink()
    assert counted.of(config) == ["001.png", "002.png"]
    assert counted.of(data_config(images, cache=images / "cache", min_side=21)) == []
    assert len(counted.of(data_config(images, cache=images / "cache", max_pixels=450))) == 4


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"header": {}}', b"\xff\xfe", b"[" * 100000])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: bytes) -> None:
    save_noise(tmp_path / "images", [(20, 20)] * 2)
    config = data_config(tmp_path / "images", cache=tmp_path / "cache")
    first = scan_folder(config)
    [index] = (tmp_path / "cache").iterdir()
    content = json.loads(index.read_text())
    for text in (damage, json.dumps(content | {"files": {"000.png": [[1], ["a"]]}}).encode()):
        index.write_bytes(text)
        assert scan_folder(config) == first
    assert json.loads(index.read_text()) == content


def test_an_unwritable_cache_is_one_line(tmp_path: Path) -> None:
    save_noise(tmp_path / "images", [(20, 20)])
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match="cache .*: expected a folder that can be written"):
        scan_folder(data_config(tmp_path / "images", cache=tmp_path / "cache"))


def test_the_report_counts_everything(tmp_path: Path) -> None:
    save_noise(tmp_path, [(40, 40), (41, 40), (42, 40), (64, 32), (10, 200)])
    for number in range(5):
        (tmp_path / f"bad{number}.jpg").write_text("no picture")
    (tmp_path / "003.txt").write_text("a caption")
    scan = scan_folder(data_config(tmp_path, captions="sidecar"))
    assert scan.summary(examples=2).splitlines() == [
        f"5 pictures in {tmp_path}, 5 files left out",
        "formats   5 PNG",
        "sides     shorter 10 to 40, median 40; longer 40 to 200, median 42",
        "mirrored  left to right with a probability of 0.5 (--flip)",
        "bucket       pictures  enlarged  cropped  (cropped: more than a quarter is cut off)",
        "24x48               1         1        1",
        "32x32               3         0        0",
        "48x24               1         0        0",
        "together            5         1        1",
        "captions  1 found, 4 missing (trained as empty)",
        "  missing: 000.png",
        "  missing: 001.png",
        "  and 2 more",
        "left out, not an image: 5",
        f"  {tmp_path}/bad0.jpg: no format that Pillow reads",
        f"  {tmp_path}/bad1.jpg: no format that Pillow reads",
        "  and 3 more",
    ]
