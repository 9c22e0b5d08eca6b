"""Random guidance graphs, described in plain numbers so that a test can compute their results by hand."""

import math
import random
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

WEIGHTS = (-3.0, -1.5, -1.0, -0.7, -0.3, 0.3, 0.5, 0.7, 1.0, 1.0, 2.5, 4.0)
KEYFRAMES = (("0:1, 1:0", [(0, 1), (1, 0)]), ("0.2:0.5, 0.6:2, 0.9:-1", [(0.2, 0.5), (0.6, 2), (0.9, -1)]))


@dataclass
class RandomTerm:
    """Inputs of one Guidance Term node; models and conditions as indices into the test's lists, None for the base's."""

    model: int | None
    positive: int | None
    reference_model: int | None
    reference: int | None
    weight: float
    start: float = 0.0
    end: float = 1.0
    curve: str = "constant"
    curve_end: float = 0.0
    curve_ramp: float = 0.25
    keyframes: int = 0
    mask: Tensor | None = None
    modify: dict[str, Any] = field(default_factory=dict)

    def inputs(self, models: list, conds: list) -> dict[str, Any]:
        """Return the term's inputs for `rigs.graphs.chain`; a side that is the base's stays unconnected."""
        sides = {"model": self.model, "reference_model": self.reference_model}
        texts = {"positive": self.positive, "reference": self.reference}
        connected = {name: models[i] for name, i in sides.items() if i is not None}
        connected |= {name: conds[i] for name, i in texts.items() if i is not None}
        if self.mask is not None:
            connected["mask"] = self.mask
        return connected | {
            "weight": self.weight, "start_percent": self.start, "end_percent": self.end, "curve": self.curve,
            "curve_end": self.curve_end, "curve_ramp": self.curve_ramp, "keyframes": KEYFRAMES[self.keyframes][0],
            "modify": self.modify,
        }  # fmt: skip

    def weight_at(self, percent: float) -> float:
        """Return weight times curve inside the window, without calling the pack."""
        whole = self.start == 0.0 and self.end == 1.0
        if not whole and not self.start <= percent < self.end:
            return 0.0
        p = (percent - self.start) / (self.end - self.start)
        if self.curve == "linear":
            return self.weight * ((1 - p) + p * self.curve_end)
        if self.curve == "cosine":
            share = math.cos(math.pi * p / 2) ** 2
            return self.weight * (share + (1 - share) * self.curve_end)
        if self.curve == "ramp":
            edge = min(p, 1 - p) / self.curve_ramp
            return self.weight * (1.0 if edge >= 1 else math.sin(math.pi * edge / 2) ** 2)
        if self.curve == "keyframes":
            return self.weight * _between(KEYFRAMES[self.keyframes][1], p)
        return self.weight

    def side(self, which: str) -> tuple[int, int]:
        """Return (model, condition), with 0 for the base's."""
        model, cond = {
            "positive": (self.model, self.positive), "reference": (self.reference_model, self.reference)
        }[which]  # fmt: skip
        return model or 0, cond or 0


def _between(points: list, p: float) -> float:
    if p <= points[0][0]:
        return points[0][1]
    for (a, fa), (b, fb) in zip(points, points[1:], strict=False):
        if p <= b:
            return fa + (fb - fa) * (p - a) / (b - a)
    return points[-1][1]


@dataclass
class RandomGraph:
    """Models and conditions to use (indices, the base's first), batch size, terms, and points (percent) to evaluate."""

    seed: int
    models: list[int]
    batch: int
    terms: list[RandomTerm]
    percents: list[float]

    def __str__(self) -> str:
        return f"graph {self.seed}"


def random_graph(seed: int, pool: int, conds: int, size: int = 8) -> RandomGraph:
    """Make 1 to 8 terms on 1 to 4 of ``pool`` models and up to ``conds`` conditions."""
    r = random.Random(seed)
    g = torch.Generator().manual_seed(seed)
    models = r.sample(range(pool), r.randint(1, min(4, pool)))
    batch = r.choice([1, 1, 2])
    half = torch.zeros(1, size, size)
    half[..., : size // 2] = 1.0
    soft = torch.rand(1, size, size, generator=g)
    masks = [half, 1 - half, soft, 1 - soft, torch.rand(batch, 2 * size, 2 * size, generator=g), half[0]]
    few = r.randint(2, conds)  # few conditions are shared by many terms

    def side() -> tuple[int | None, int | None]:
        model = r.choice([None, *range(len(models))])
        return model, r.choice([None, *range(few)])

    terms = []
    for _ in range(r.randint(1, 8)):
        (model, positive), (reference_model, reference) = side(), side() if r.random() < 0.4 else (None, None)
        term = RandomTerm(model, positive, reference_model, reference, r.choice(WEIGHTS))
        if r.random() < 0.4:
            term.start, term.end = sorted(r.sample([i / 20 for i in range(21)], 2))
        if r.random() < 0.4:
            term.curve = r.choice(["linear", "cosine", "ramp", "keyframes"])
            term.curve_end, term.curve_ramp = r.choice([-0.5, 0.0, 0.5, 3.0]), r.choice([0.1, 0.25, 0.5])
            term.keyframes = r.randrange(len(KEYFRAMES))
        if r.random() < 0.35:
            term.mask = r.choice(masks)
        terms.append(term)
    percents = sorted(r.choice(range(20)) / 20 + r.uniform(0.005, 0.045) for _ in range(3))
    return RandomGraph(seed, models, batch, terms, percents)
