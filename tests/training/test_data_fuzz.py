"""500 files of every kind of trouble: each is used or reported, and what is used loads."""

from collections import Counter
from pathlib import Path

import pytest
from train_rigs.fuzzed_files import bad_neighbours, fuzz_folder
from train_rigs.pictures import TinyCodec, data_config

from training.data.latent_cache import LatentCache
from training.data.latent_reader import wanted_latents
from training.data.pixels import load_pixels
from training.data.scan import scan_folder

FILES = 500


@pytest.mark.parametrize("seed", [0, 1])
def test_each_file_is_used_or_reported(tmp_path: Path, seed: int) -> None:
    images = tmp_path / "images"
    paths = fuzz_folder(images, FILES, seed) + bad_neighbours(images)
    config = data_config(images, cache=tmp_path / "cache", workers=2, max_pixels=10**7)
    scan = scan_folder(config)
    used, rejected = {picture.path for picture in scan.pictures}, {entry.path for entry in scan.rejected}
    assert used.isdisjoint(rejected) and used | rejected == set(paths)
    assert len(scan.pictures) > 150 and len(scan.rejected) > 150
    kinds = Counter(entry.kind for entry in scan.rejected)
    assert {"not an image", "broken", "huge", "tiny"} <= set(kinds)
    assert scan.summary().isprintable() or "\n" in scan.summary()
    assert scan_folder(config) == scan
    buckets = scan.buckets()
    for bucket in buckets:
        for index in bucket.members:
            pixels, _ = load_pixels(scan.pictures[index], bucket.size)
            assert pixels.shape == (3, bucket.size.height, bucket.size.width)
            assert pixels.isfinite().all() and pixels.abs().max() <= 1.0
    cache = LatentCache(tmp_path / "cache", TinyCodec())
    wanted = wanted_latents(scan.pictures, buckets, flip=0.0)[:40]
    assert cache.fill(wanted) == 40
