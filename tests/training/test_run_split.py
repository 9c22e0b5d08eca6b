"""Which pictures a run trains on, and which it keeps for validation: none is both."""

from pathlib import Path

import pytest
from train_rigs.pictures import data_config, save_noise

from gcfg_core.errors import InputError
from training.data.scan import Scan, scan_folder
from training.loop.image_feed import split

SIZES = [(32, 32), (40, 30), (64, 64), (50, 50), (20, 33), (70, 64), (33, 32)]


def scan(folder: Path, *resolutions: int) -> Scan:
    save_noise(folder, SIZES)
    return scan_folder(data_config(folder, resolution=list(resolutions)))


@pytest.mark.parametrize("held_out", range(len(SIZES)))
def test_no_picture_is_both_trained_on_and_held_out(tmp_path: Path, held_out: int) -> None:
    """Also where pictures are in several buckets, at several resolutions."""
    found = scan(tmp_path, 32, 64)
    training, kept = split(found, held_out, seed=3)
    trained = {member for bucket in training for member in bucket.members}
    out = [member for bucket in kept for member in bucket.members]
    assert len(out) == len(set(out)) == held_out
    assert trained | set(out) == set(range(len(SIZES))) and trained.isdisjoint(out)
    whole = {bucket.size: set(bucket.members) for bucket in found.buckets()}
    assert all(set(bucket.members) == whole[bucket.size] - set(out) for bucket in training)
    assert all(bucket.members for bucket in (*training, *kept))


def test_the_seed_says_which(tmp_path: Path) -> None:
    found = scan(tmp_path, 32)
    assert split(found, 3, 0) == split(found, 3, 0)
    assert len({split(found, 3, seed) for seed in range(5)}) > 1


def test_something_is_left_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="held_out: expected fewer than the 7 pictures, got 7"):
        split(scan(tmp_path, 32), 7, 0)
