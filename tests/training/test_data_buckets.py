"""Buckets: their sizes, and where pictures go."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from train_rigs.pictures import data_config

from gcfg_core.errors import InputError
from training.data.buckets import bucket_sizes, make_buckets
from training.data.config import DataConfig
from training.data.picture import Size
from training.data.placement import placement

HERE = Path()


def sizes_of(picture: Size, config: DataConfig) -> list[Size]:
    """Of the buckets that a picture alone is in."""
    return [bucket.size for bucket in make_buckets([picture], config)]


def test_sizes_for_512() -> None:
    sizes = bucket_sizes(512, 64, 2.0)
    assert sizes == (
        Size(384, 640), Size(384, 704), Size(448, 576), Size(512, 512), Size(576, 448), Size(640, 384), Size(704, 384),
    )  # fmt: skip


@given(st.integers(32, 1536), st.sampled_from([8, 32, 64]), st.floats(1.0, 4.0))
@example(33, 64, 4.0)  # near half a step, where a height of one step would be far too much
@settings(max_examples=60, deadline=None)
def test_sizes_keep_their_promises(resolution: int, step: int, max_aspect: float) -> None:
    sizes = bucket_sizes(resolution, step, max_aspect)
    assert len(set(sizes)) == len(sizes)
    for size in sizes:
        assert size.width % step == 0 and size.height % step == 0 and Size(size.height, size.width) in sizes
        assert max(size) <= max_aspect * min(size)
        # The shorter side is off by half a step at most, and so is the area in proportion.
        assert abs(size.width * size.height - resolution**2) <= max(size) * step / 2 + step * resolution


def test_a_resolution_below_the_step_is_told() -> None:
    for resolution in (20, 31):
        with pytest.raises(InputError, match="at least half of bucket_step = 64"):
            bucket_sizes(resolution, 64, 2.0)
    assert bucket_sizes(32, 64, 1.0) == (Size(64, 64),)


def test_the_nearest_aspect_ratio() -> None:
    config = data_config(HERE, resolution=512, bucket_step=64)
    assert sizes_of(Size(1000, 1000), config) == [Size(512, 512)]
    assert sizes_of(Size(4000, 3000), config) == [Size(576, 448)]
    assert sizes_of(Size(3000, 4000), config) == [Size(448, 576)]
    assert sizes_of(Size(9000, 1000), config) == [Size(704, 384)]
    assert sizes_of(Size(9000, 1000), data_config(HERE, resolution=512, fit="crop")) == [Size(512, 512)]


def test_several_resolutions_never_enlarge_where_one_fits() -> None:
    config = data_config(HERE, resolution=[64, 32], bucket_step=8)
    assert sizes_of(Size(64, 64), config) == [Size(32, 32), Size(64, 64)]
    assert sizes_of(Size(63, 64), config) == [Size(32, 32)]
    assert sizes_of(Size(10, 10), config) == [Size(32, 32)]


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_no_picture_is_dropped(pictures: list[tuple[int, int]]) -> None:
    sizes = [Size(*picture) for picture in pictures]
    config = data_config(HERE, resolution=[24, 32, 96])
    buckets = make_buckets(sizes, config)
    assert {index for bucket in buckets for index in bucket.members} == set(range(len(sizes)))
    assert len({bucket.size for bucket in buckets}) == len(buckets)
    for bucket in buckets:
        assert len(set(bucket.members)) == len(bucket.members)
        for index in bucket.members:
            assert placement(sizes[index], bucket.size).scale <= 1.0 or len(sizes_of(sizes[index], config)) == 1
