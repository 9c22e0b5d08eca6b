"""Measure a set of sampled pictures: fidelity to the concept, control by the prompt, memorisation."""

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
from .styles import ATTRIBUTES, GLASSES

EFFICIENTNET_SIDE = 96
KID_SUBSET = 100  # pictures; for smaller sets half of them


@dataclass(frozen=True, eq=False)
class ConceptFeatures:
    """Features of a concept's real pictures.

    Attributes:
        style: the concept's name among the judge's classes.
        held_out: features of the test split: the judge's [N, 64] and EfficientNet's [N, 1280], float64.
        training: the judge's features of the training split.
        strangers: median distance of held-out pictures to the nearest training picture.
        spread: mean distance between two held-out pictures.
    """

    style: str
    held_out: tuple[Tensor, Tensor]
    training: Tensor
    strangers: float
    spread: float


class Measurer:
    """The judges and EfficientNet, loaded once.

    Args:
        judge: judge of style and attributes.
        glasses_judge: judge of glasses.
    """

    def __init__(self, judge: Judge, glasses_judge: Judge) -> None:
        self.judge, self.glasses_judge = judge, glasses_judge
        self.network = efficientnet_lite0()

    def concept(self, style: str, held_out: Labelled, training: Labelled) -> ConceptFeatures:
        seen, trained = self.judge.see(held_out.pixels), self.judge.see(training.pixels)
        distances, _ = nearest(seen, trained)
        return ConceptFeatures(style, (seen, self._efficientnet(held_out.pixels)), trained, float(distances.median()),
                       _spread(seen))  # fmt: skip

    def row(self, samples: Samples, asked: Sequence[dict[str, str]], concept: ConceptFeatures) -> dict[str, Any]:
        """Return the numbers of one set: FD and KID to held-out pictures (lower is nearer), shares of pictures in the
        concept's style and as asked for, and distances relative to those of held-out pictures.

        If some prompts ask for glasses, also return the shares of pictures with glasses where asked for ("worn_asked")
        and where not ("worn_unasked"), and their balance: 1 if the word decides, 1/2 if it has no effect.
        """
        features = self.judge.see(samples.pixels)
        answers = self.judge.answers(features)
        right = {
            name: float((answers[name] == torch.tensor([values.index(row[name]) for row in asked])).double().mean())
            for name, values in ATTRIBUTES.items()
        }
        distances, _ = nearest(features, concept.training)
        return {
            **self._distances(samples.pixels, features, concept),
            "style": float((answers["style"] == CLASSES["style"].index(concept.style)).double().mean()),
            **right,
            "control": sum(right.values()) / len(right),
            "nearest": float(distances.median()) / concept.strangers,
            "diversity": _spread(features) / concept.spread,
            "evaluations": samples.evaluations,
            **(self._glasses(samples.pixels, asked) if GLASSES in asked[0] else {}),
        }

    def _glasses(self, pixels: Tensor, asked: Sequence[dict[str, str]]) -> dict[str, float]:
        worn = self.glasses_judge.answers(self.glasses_judge.see(pixels))[GLASSES].double()
        wanted = torch.tensor([row[GLASSES] == "yes" for row in asked])
        yes, no = float(worn[wanted].mean()), float(worn[~wanted].mean())
        return {"worn_asked": yes, "worn_unasked": no, "glasses": (yes + 1.0 - no) / 2.0}

    def floor(self, pictures: Tensor, concept: ConceptFeatures) -> dict[str, float]:
        """Return FD and KID of other real pictures [N, 3, H, W] uint8, as many as are sampled, because FD depends on
        their number."""
        return self._distances(pictures, self.judge.see(pictures), concept)

    def _distances(self, pictures: Tensor, features: Tensor, concept: ConceptFeatures) -> dict[str, float]:
        subset = min(KID_SUBSET, len(pictures) // 2, len(concept.held_out[1]) // 2)
        kid, _ = kernel_distance(concept.held_out[1], self._efficientnet(pictures), subset)
        return {"fd": frechet_distance(concept.held_out[0], features), "kid": kid}

    @torch.no_grad()
    def _efficientnet(self, pixels: Tensor) -> Tensor:
        """Return features [N, 1280] float64 of pictures enlarged to 96 px."""
        return torch.cat([self.network(_enlarged(part)).double() for part in pixels.split(64)])


def _enlarged(pixels: Tensor) -> Tensor:
    size = (EFFICIENTNET_SIDE, EFFICIENTNET_SIDE)
    large = torch.nn.functional.interpolate(pixels.float(), size, mode="bicubic", antialias=True, align_corners=False)
    return large.round().clamp(0, 255)


def _spread(features: Tensor) -> float:
    """Return the mean Euclidean distance between two rows."""
    return float(torch.pdist(features).mean())
