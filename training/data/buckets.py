"""Aspect ratio buckets: groups of pictures that are trained at the same size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gcfg_core.errors import InputError

from .config import DataConfig
from .picture import Size
from .placement import placement


@dataclass(frozen=True)
class Bucket:
    """Pictures of one training size.

    Attributes:
        size: training size.
        members: indices of pictures, ascending.
    """

    size: Size
    members: tuple[int, ...]


def bucket_sizes(resolution: int, step: int, max_aspect: float) -> tuple[Size, ...]:
    """Return sizes with sides that are multiples of ``step``, area near resolution^2, and aspect ratio up to
    ``max_aspect``.

    For each width take the height with the nearest area, at least one step; then add both with sides swapped.

    Raises:
        InputError: the resolution is below half a step.
    """
    side = math.floor(resolution / step + 0.5) * step
    if side < step:
        raise InputError("resolution", f"at least half of bucket_step = {step}", str(resolution), "Lower bucket_step.")
    sizes = {Size(side, side)}
    for width in range(step, math.ceil(resolution * math.sqrt(max_aspect)) + step, step):
        height = round(resolution**2 / width / step) * step
        if height and max(width, height) <= max_aspect * min(width, height):
            sizes |= {Size(width, height), Size(height, width)}
    return tuple(sorted(sizes))


def nearest(size: Size, sizes: Sequence[Size], area: int) -> Size:
    """Return the size with the nearest aspect ratio; of equal sizes, that with the area nearest to ``area``."""
    ratio = math.log(size.width / size.height)

    def distance(other: Size) -> tuple[float, int, Size]:
        off = abs(math.log(other.width / other.height) - ratio)
        return round(off, 9), abs(other.width * other.height - area), other

    return min(sizes, key=distance)


def choices(config: DataConfig) -> list[tuple[int, tuple[Size, ...]]]:
    """Return each resolution with its bucket sizes, smallest resolution first."""
    if config.fit == "crop":
        return [(side, (Size(side, side),)) for side in config.resolutions]
    return [(side, bucket_sizes(side, config.bucket_step, config.max_aspect)) for side in config.resolutions]


def _sizes_of(picture: Size, offered: Sequence[tuple[int, tuple[Size, ...]]]) -> list[Size]:
    """Return the sizes at which a picture is trained, without duplicates.

    These are the buckets of all resolutions that need no enlargement. A picture that is too small for every resolution
    is enlarged to the bucket of the smallest resolution.
    """
    found = [nearest(picture, sizes, side * side) for side, sizes in offered]
    filled = [size for size in found if placement(picture, size).scale <= 1.0]
    return list(dict.fromkeys(filled or found[:1]))


def make_buckets(pictures: Sequence[Size], config: DataConfig) -> tuple[Bucket, ...]:
    """Group pictures into buckets, ordered by size; empty buckets are omitted.

    Args:
        pictures: sizes of the pictures.
        config: resolutions, fit, bucket_step and max_aspect.
    """
    offered = choices(config)
    members: dict[Size, list[int]] = {}
    for index, picture in enumerate(pictures):
        for size in _sizes_of(picture, offered):
            members.setdefault(size, []).append(index)
    return tuple(Bucket(size, tuple(members[size])) for size in sorted(members))
