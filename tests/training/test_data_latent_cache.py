"""Cached latents: what they are, what makes a new one, and what a damaged one leads to."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from train_rigs.pictures import TinyCodec, data_config, noise_image, save_noise

from gcfg_core.errors import InputError
from training.data.latent_cache import LatentCache
from training.data.latent_reader import Wanted, wanted_latents
from training.data.pixels import load_pixels
from training.data.scan import Scan, scan_folder


def _scan(folder: Path, count: int = 6) -> Scan:
    save_noise(folder / "images", [(40, 32), (32, 48), (33, 32)] * (count // 3))
    return scan_folder(data_config(folder / "images"))


def _wanted(scan: Scan, flip: float = 0.5) -> list[Wanted]:
    return wanted_latents(scan.pictures, scan.buckets(), flip)


def _entries(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _all(cache: LatentCache, wanted: list[Wanted]) -> list[Tensor]:
    return [value for w in wanted for flip in w.flips for value in cache.reader().get(w.picture, w.size, flip)[:2]]


def test_entries_are_what_the_codec_says(tmp_path: Path) -> None:
    wanted = _wanted(_scan(tmp_path))
    codec = TinyCodec()
    cache = LatentCache(tmp_path / "cache", codec)
    assert cache.fill(wanted, batch=2) == 12 and codec.encoded == 12
    for picture, size, flips in wanted:
        pixels = load_pixels(picture, size)[0][None]
        for flip in flips:
            mean, std = TinyCodec().encode(pixels.flip(-1) if flip else pixels)
            latent = cache.get(picture, size, flip)
            assert torch.equal(latent.mean, mean[0]) and torch.equal(latent.std, std[0])
    assert codec.encoded == 12
    assert cache.fill(wanted, batch=2) == 0 and codec.encoded == 12


def test_only_what_flipping_needs(tmp_path: Path) -> None:
    scan = _scan(tmp_path)
    for flip, flips in ((0.0, (False,)), (0.3, (False, True)), (1.0, (True,))):
        assert {w.flips for w in _wanted(scan, flip)} == {flips}


def test_a_deviation_of_nothing_takes_no_space(tmp_path: Path) -> None:
    wanted = _wanted(_scan(tmp_path))
    sizes = []
    for name, deviation in (("none", 0.0), ("some", 0.1)):
        cache = LatentCache(tmp_path / name, TinyCodec(deviation=deviation))
        cache.fill(wanted)
        sizes.append(sum(map(len, _entries(tmp_path / name).values())))
        assert bool(cache.get(*wanted[0][:2], False).std.any()) == bool(deviation)
        assert cache.estimate(wanted) == sizes[-1]
    assert sizes[0] < sizes[1]


def test_whatever_changes_makes_a_new_entry(tmp_path: Path) -> None:
    scan = _scan(tmp_path, 3)
    picture, size, _ = _wanted(scan)[0]
    key = LatentCache(tmp_path, TinyCodec()).key(picture, size, False)
    others = {
        LatentCache(tmp_path, TinyCodec("other")).key(picture, size, False),
        LatentCache(tmp_path, TinyCodec(), {"dtype": "bfloat16"}).key(picture, size, False),
        LatentCache(tmp_path, TinyCodec()).key(picture, size, True),
        LatentCache(tmp_path, TinyCodec()).key(picture, size._replace(width=64), False),
    }
    noise_image(40, 32, 77).save(picture.path)
    changed = scan_folder(scan.config).pictures[scan.pictures.index(picture)]
    others.add(LatentCache(tmp_path, TinyCodec()).key(changed, size, False))
    assert len(others | {key}) == 6


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _one_bit(data: bytes) -> bytes:
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


def _long_header(data: bytes) -> bytes:
    return b"\xff" * 8 + data[8:]


@pytest.mark.parametrize(
    "damage", [_cut, _one_bit, _long_header, lambda data: b"", lambda data: data[:7], lambda data: bytes(len(data))]
)
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    wanted = _wanted(_scan(tmp_path))
    cache = LatentCache(tmp_path / "cache", TinyCodec())
    cache.fill(wanted, batch=2)
    whole = _entries(tmp_path / "cache")
    path = next((tmp_path / "cache").rglob("*.safetensors"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="missing or damaged"):
        _all(cache, wanted)
    cache.fill(wanted, batch=2)
    assert _entries(tmp_path / "cache") == whole


def test_no_entry_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries say themselves whether they are whole; a flush takes far longer than making a small one."""
    wanted = _wanted(_scan(tmp_path))
    flushed: list[int] = []
    monkeypatch.setattr("gcfg_core.durable.os.fsync", flushed.append)
    assert LatentCache(tmp_path / "cache", TinyCodec()).fill(wanted) == 12 and flushed == []


def test_an_entry_under_anothers_name_is_none(tmp_path: Path) -> None:
    wanted = _wanted(_scan(tmp_path))
    cache = LatentCache(tmp_path / "cache", TinyCodec())
    cache.fill(wanted)
    first, second, *_ = (tmp_path / "cache").rglob("*.safetensors")
    first.write_bytes(second.read_bytes())
    assert cache.fill(wanted, batch=1) == 1


def test_two_processes_fill_what_one_fills(tmp_path: Path) -> None:
    wanted = _wanted(_scan(tmp_path))
    LatentCache(tmp_path / "one", TinyCodec()).fill(wanted, batch=2)
    seen: list[tuple[int, int]] = []
    made = [
        LatentCache(tmp_path / "two", TinyCodec()).fill(
            wanted, batch=2, rank=rank, world=2, progress=lambda done, total: seen.append((done, total))
        )
        for rank in range(2)
    ]
    assert sum(made) == 12 and min(made) > 0
    assert _entries(tmp_path / "one") == _entries(tmp_path / "two")
    assert sum(done == total for done, total in seen) == 2


class _RoundsByBatch(TinyCodec):
    """As a real encoder on a GPU: the last bits depend on the size of the batch."""

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = super().encode(pixels)
        return mean * (1.0 + 1e-6 * len(pixels)), std


class _StopsAfter(_RoundsByBatch):
    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return super().encode(pixels)


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_an_interrupted_fill_ends_with_the_same_bits(tmp_path: Path, calls: int) -> None:
    wanted = _wanted(_scan(tmp_path))
    LatentCache(tmp_path / "whole", _RoundsByBatch()).fill(wanted, batch=4)
    with pytest.raises(KeyboardInterrupt):
        LatentCache(tmp_path / "halves", _StopsAfter(calls)).fill(wanted, batch=4)
    entries = sorted((tmp_path / "halves").rglob("*.safetensors"))
    if entries:
        entries[0].unlink()
    LatentCache(tmp_path / "halves", _RoundsByBatch()).fill(wanted, batch=4)
    assert _entries(tmp_path / "whole") == _entries(tmp_path / "halves")


def test_temporary_files_go_once_nobody_writes_them(tmp_path: Path) -> None:
    wanted = _wanted(_scan(tmp_path))
    folder = tmp_path / "cache"
    cache = LatentCache(folder, TinyCodec())
    cache.fill(wanted)
    place = next(folder.rglob("*.safetensors")).parent
    old, older = place / "a.1-2.partial", folder / "scan-0.json.1-2.partial"
    new, strange = place / "b.1-2.partial", place / "mine.txt"
    for path in (old, older, new, strange):
        path.touch()
    for path in (old, older, strange):
        os.utime(path, (time.time() - 7200,) * 2)
    cache.fill(wanted)
    assert len(_all(cache, wanted)) == 24 and not old.exists() and not older.exists()
    assert new.exists() and strange.exists()


class _Infinite(TinyCodec):
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = super().encode(pixels)
        return mean * float("nan"), std


def test_bad_input_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = _scan(tmp_path)
    wanted = _wanted(scan)

    def told(cache: LatentCache, some: list[Wanted] = wanted) -> str:
        with pytest.raises(InputError) as caught:
            cache.fill(some)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "float32" in told(LatentCache(tmp_path / "a", _Infinite()))
    assert not _entries(tmp_path / "a")
    odd = wanted[0]._replace(size=wanted[0].size._replace(width=36))
    assert "bucket_step" in told(LatentCache(tmp_path / "a", TinyCodec()), [odd])
    (tmp_path / "file").touch()
    assert "space and permission" in told(LatentCache(tmp_path / "file", TinyCodec()))
    monkeypatch.setattr("gcfg_core.durable.os.replace", _no_space)
    assert "No space left" in told(LatentCache(tmp_path / "b", TinyCodec()))
    assert not _entries(tmp_path / "b")
    monkeypatch.setattr("training.data.latent_cache.shutil.disk_usage", lambda place: type("", (), {"free": 10}))
    full = told(LatentCache(tmp_path / "b", TinyCodec()))
    assert re.search(r"expected \S+ [KM]?B of free space, got 10 B\. Make space, \S+ [KM]?B more", full), full  # T11
    scan.pictures[0].path.unlink()
    monkeypatch.undo()
    assert "an unreadable file" in told(LatentCache(tmp_path / "c", TinyCodec()))


def _no_space(*paths: object) -> None:
    raise OSError(28, "No space left on device")
