"""Detect memorised training images: distances in feature space to the nearest training image or its mirror image
(models trained with flips may memorise both).

Generated pictures should be as far from the training set as held-out real pictures: the ratio of median distances is
then about 1, and 0 for copies. A picture is flagged if it is nearer than 95 % of the held-out pictures; without
memorisation this happens for about 5 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from gcfg_core.errors import InputError

from ..sample.grid import draw_grid
from .features import Features, square
from .measure import GENERATED, MIRRORED, REAL, TRAIN, Line, Measure, Result, Values
from .pictures import PictureFile, open_picture

QUANTILE = 0.05
COPY = 1e-4  # of the median distance; smaller distances are rounding errors
NOT_TRAINED, HOLD_OUT = "pictures that were not trained on", "Give held-out pictures, or leave --train out."
PAIRS = "nearest.png"
CHUNK = 256  # rows per block of the distance matrix


@dataclass(frozen=True)
class Pair:
    """A generated picture and its nearest training image.

    Attributes:
        distance: between their features.
        relative: distance divided by the median distance of held-out pictures.
    """

    generated: PictureFile
    training: PictureFile
    distance: float
    relative: float


@dataclass(frozen=True)
class Memorisation:
    """The result of `memorisation`.

    Attributes:
        ratio: median distance of generated pictures to the training set, divided by that of held-out pictures.
        nearer: share of generated pictures below QUANTILE of the held-out distances; about QUANTILE is normal.
        copies: generated pictures whose features equal a training image's up to rounding.
        pairs: the flagged pictures with their training images, nearest first.
    """

    ratio: float
    nearer: float
    copies: int
    pairs: tuple[Pair, ...]

    def as_json(self, pairs: int = 20) -> dict[str, object]:
        shown = [
            {"generated": str(p.generated.path), "training": str(p.training.path), "distance": p.distance,
             "relative": p.relative} for p in self.pairs[:pairs]
        ]  # fmt: skip
        return {"ratio": self.ratio, "nearer_than_5_percent": self.nearer, "copies": self.copies,
                "flagged": len(self.pairs), "nearest_pairs": shown}  # fmt: skip


def memorisation(
    generated: Features, training: Features, held_out: Features, mirrored: Features | None = None
) -> Memorisation:
    """Compare generated with held-out pictures by their distance to the training set.

    Held-out files that are also in the training set are ignored.

    Args:
        mirrored: features of the training images' mirror images, in the same order.

    Raises:
        InputError: no held-out pictures are left, or most of them equal training images.
    """
    known = training.values if mirrored is None else torch.cat([training.values, mirrored.values])
    distances, indices = nearest(generated.values, known)
    indices = indices % len(training)
    innocent, _ = nearest(_strangers(held_out, training), known)
    median = float(innocent.median())
    if median == 0.0:
        raise InputError("--real", NOT_TRAINED, "pictures whose features are the training images'", HOLD_OUT)
    limit = max(float(innocent.quantile(QUANTILE)), COPY * median)
    flagged = [
        Pair(generated.files[i], training.files[int(indices[i])], float(distances[i]), float(distances[i]) / median)
        for i in distances.argsort(stable=True).tolist()
        if float(distances[i]) < limit
    ]
    return Memorisation(float(distances.median()) / median, len(flagged) / len(generated),
                        int((distances < COPY * median).sum()), tuple(flagged))  # fmt: skip


def _strangers(held_out: Features, training: Features) -> Tensor:
    """Return features of the held-out pictures that are not training images."""
    known = {file.sha256 for file in training.files}
    rows = [i for i, file in enumerate(held_out.files) if file.sha256 not in known]
    if not rows:
        raise InputError("--real", NOT_TRAINED, "the training images", HOLD_OUT)
    return held_out.values[rows]


def nearest(values: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Euclidean distance of each row [N, D] to the nearest row of ``among`` [M, D], and its index.

    Differences are squared directly, not by matrix products, so that copies have distances near 0.
    """
    found = [
        torch.cdist(chunk, among, compute_mode="donot_use_mm_for_euclid_dist").min(1) for chunk in values.split(CHUNK)
    ]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def picture_of_pairs(pairs: tuple[Pair, ...], count: int = 8, side: int = 128) -> Image.Image | None:
    """Return a picture of the nearest pairs, generated above training image; None without pairs."""
    if not pairs:
        return None
    shown = pairs[:count]
    rows = [[_small(pair.generated, side) for pair in shown], [_small(pair.training, side) for pair in shown]]
    return draw_grid(rows, ["generated", "training"], [f"{pair.relative:.2f}" for pair in shown],
                     "nearest pairs, distance relative to held-out pictures")  # fmt: skip


def _small(file: PictureFile, side: int) -> Image.Image:
    picture = open_picture(file) or Image.new("RGB", (side, side))
    return Image.fromarray(square(picture, side).permute(1, 2, 0).contiguous().numpy())


class Memorised(Measure):
    """The measure of `memorisation`, with a picture of the nearest pairs."""

    @property
    def name(self) -> str:
        return "memorisation"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({REAL, GENERATED, TRAIN, MIRRORED})

    @property
    def lines(self) -> tuple[Line, ...]:
        return (
            Line("nearest-image ratio", "ratio", ".3f", "about 1"),
            Line("nearer than 5 % of real", "nearer_than_5_percent", ".1%", "about 5%"),
            Line("copies", "copies", "d", "0"),
        )

    def compute(self, sets: Mapping[str, Features], seed: int) -> Result:
        found = memorisation(sets[GENERATED], sets[TRAIN], sets[REAL], sets[MIRRORED])
        picture = picture_of_pairs(found.pairs)
        return Result(found.as_json(), {} if picture is None else {PAIRS: picture})

    def notes(self, values: Values, halves: Values | None) -> list[str]:
        return []
