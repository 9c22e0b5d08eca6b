"""What a set of sampled pictures is worth: fidelity to the concept, control of the attributes, memorisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..evaluate.efficientnet import efficientnet_lite0
from ..evaluate.memorisation import nearest
from ..evaluate.metrics import frechet_distance, kernel_distance
from .judge import Judge
from .labelled import CLASSES, Labelled
from .samples import Samples
from .styles import ATTRIBUTES

EFFICIENTNET_SIDE = 96
KID_SUBSET = 100  # pictures, or half of a smaller set


@dataclass(frozen=True, eq=False)
class Concept:
    """The real pictures of a concept, as features.

    Attributes:
        style: its name among the judge's classes.
        held_out: of the test split, the judge's [N, 64] and EfficientNet's [N, 1280], float64.
        training: the judge's, of the training split.
        strangers: median distance of held-out pictures to the nearest training one.
        spread: mean distance of two held-out pictures.
    """

    style: str
    held_out: tuple[Tensor, Tensor]
    training: Tensor
    strangers: float
    spread: float


class Measure:
    """Judge and EfficientNet, loaded once."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.network = efficientnet_lite0()

    def concept(self, style: str, held_out: Labelled, training: Labelled) -> Concept:
        seen, trained = self.judge.see(held_out.pixels), self.judge.see(training.pixels)
        distances, _ = nearest(seen, trained)
        return Concept(style, (seen, self._efficientnet(held_out.pixels)), trained, float(distances.median()),
                       _spread(seen))  # fmt: skip

    def row(self, samples: Samples, asked: Sequence[dict[str, str]], concept: Concept) -> dict[str, Any]:
        """Every number of one set: FD and KID to the held-out pictures (lower is nearer), shares of pictures in the
        concept's style and with what was asked for, distances relative to held-out pictures'."""
        features = self.judge.see(samples.pixels)
        told = self.judge.told(features)
        right = {
            name: float((told[name] == torch.tensor([values.index(row[name]) for row in asked])).double().mean())
            for name, values in ATTRIBUTES.items()
        }
        distances, _ = nearest(features, concept.training)
        return {
            **self._distances(samples.pixels, features, concept),
            "style": float((told["style"] == CLASSES["style"].index(concept.style)).double().mean()),
            **right,
            "control": sum(right.values()) / len(right),
            "nearest": float(distances.median()) / concept.strangers,
            "diversity": _spread(features) / concept.spread,
            "evaluations": samples.evaluations,
        }

    def floor(self, pictures: Tensor, concept: Concept) -> dict[str, float]:
        """FD and KID of other real pictures [N, 3, H, W] uint8, as many as are sampled: FD depends on their number."""
        return self._distances(pictures, self.judge.see(pictures), concept)

    def _distances(self, pictures: Tensor, features: Tensor, concept: Concept) -> dict[str, float]:
        subset = min(KID_SUBSET, len(pictures) // 2, len(concept.held_out[1]) // 2)
        kid, _ = kernel_distance(concept.held_out[1], self._efficientnet(pictures), subset)
        return {"fd": frechet_distance(concept.held_out[0], features), "kid": kid}

    @torch.no_grad()
    def _efficientnet(self, pixels: Tensor) -> Tensor:
        """[N, 1280] float64 of pictures enlarged to 96 px."""
        return torch.cat([self.network(_enlarged(part)).double() for part in pixels.split(64)])


def _enlarged(pixels: Tensor) -> Tensor:
    size = (EFFICIENTNET_SIDE, EFFICIENTNET_SIDE)
    large = torch.nn.functional.interpolate(pixels.float(), size, mode="bicubic", antialias=True, align_corners=False)
    return large.round().clamp(0, 255)


def _spread(features: Tensor) -> float:
    """Mean Euclidean distance of two rows."""
    return float(torch.pdist(features).mean())
