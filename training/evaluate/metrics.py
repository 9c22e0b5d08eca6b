"""Compare features of generated and real pictures with published libraries: FD, KID, precision and recall.

- FD: Frechet distance of two Gaussians (FID where the features are Inception's; arXiv 1706.08500), torchmetrics.
  It is biased: fewer pictures give larger values, so compare only sets of equal size.
- KID: squared maximum mean discrepancy with a cubic kernel (arXiv 1801.01401), torchmetrics. It is unbiased: prefer it
  for small sets. It may be slightly negative.
- precision and recall (arXiv 1904.06991), density and coverage (arXiv 2002.09797), prdc.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .features import Features
from .measure import GENERATED, PAIR, REAL, Line, Measure, Result, Values

SUBSETS = 100
LARGEST_SUBSET = 1000  # of KID, as in its authors' code
NEAREST = 5  # neighbours of precision and recall, as in prdc's examples
LARGEST_MANIFOLD = 10_000  # pictures of each set for the distance matrix
ENOUGH_NEAR = 250  # pictures per set; precision of the starter pictures varies by 0.2 for 16, by 0.05 for 256
ENOUGH = 2048  # pictures from which FD is usually reported


class Given(nn.Module):
    """Passes existing features to torchmetrics in place of a network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Return |mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 sqrt(C_1 C_2)), float64."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Given(real.shape[1])).set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


def kernel_distance(real: Tensor, generated: Tensor, subset: int, seed: int = 0) -> tuple[float, float]:
    """Return KID's mean and standard deviation over SUBSETS random subsets of ``subset`` pictures of each set."""
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torchmetrics warns that it keeps features in memory
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(feature=Given(real.shape[1]), subsets=SUBSETS, subset_size=subset)
        metric = metric.set_dtype(torch.float64)
        metric.update(real.double(), real=True)
        metric.update(generated.double(), real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def neighbourhoods(real: Tensor, generated: Tensor, nearest: int = NEAREST) -> dict[str, float]:
    """Return precision, recall, density and coverage of two sets of equal size; {} if they have too few pictures."""
    from prdc import compute_prdc

    if len(real) < nearest + 2:
        return {}
    with contextlib.redirect_stdout(io.StringIO()):  # prdc prints the sizes
        found = compute_prdc(real.numpy(), generated.numpy(), nearest_k=nearest)
    return {name: float(value) for name, value in found.items()}


class Frechet(Measure):
    """FD: the Frechet distance."""

    @property
    def name(self) -> str:
        return "fd"

    @property
    def needs(self) -> frozenset[str]:
        return PAIR

    @property
    def lines(self) -> tuple[Line, ...]:
        return (Line("FD", "fd", ".4g", "lower"),)

    def compute(self, sets: Mapping[str, Features], seed: int) -> Result:
        return Result({"fd": frechet_distance(sets[REAL].values, sets[GENERATED].values)}, {})

    def notes(self, values: Values, halves: Values | None) -> list[str]:
        lines, smaller = [], min(values[REAL], values[GENERATED])
        if smaller < ENOUGH:
            lines.append(
                f"with fewer than {ENOUGH} pictures FD is too large by an amount that depends on their number; "
                "prefer KID, and compare only sets of equal size"
            )
        if halves is not None and halves[REAL] < smaller:
            count = halves[REAL]
            lines.append(f"the real halves have {count} pictures each, so their FD has more of that bias: prefer KID")
        return lines


class Kernel(Measure):
    """KID: mean and standard deviation over subsets of ``kid_subset`` pictures."""

    @property
    def name(self) -> str:
        return "kid"

    @property
    def needs(self) -> frozenset[str]:
        return PAIR

    @property
    def lines(self) -> tuple[Line, ...]:
        return Line("KID", "kid", ".4g", "lower"), Line("KID, deviation", "kid_std", ".4g", "")

    def compute(self, sets: Mapping[str, Features], seed: int) -> Result:
        real, generated = sets[REAL].values, sets[GENERATED].values
        subset = max(2, min(LARGEST_SUBSET, min(len(real), len(generated)) // 2))
        mean, deviation = kernel_distance(real, generated, subset, seed)
        return Result({"kid": mean, "kid_std": deviation, "kid_subset": subset}, {})

    def notes(self, values: Values, halves: Values | None) -> list[str]:
        return []


class Neighbourhoods(Measure):
    """Precision, recall, density and coverage of ``manifold`` pictures of each set; None for too few pictures."""

    KEYS = ("precision", "recall", "density", "coverage")

    @property
    def name(self) -> str:
        return "neighbourhoods"

    @property
    def needs(self) -> frozenset[str]:
        return PAIR

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(Line(key, key, ".4g", "higher") for key in self.KEYS)

    def compute(self, sets: Mapping[str, Features], seed: int) -> Result:
        real, generated = sets[REAL].values, sets[GENERATED].values
        manifold = min(len(real), len(generated), LARGEST_MANIFOLD)
        near = neighbourhoods(real[:manifold], generated[:manifold])
        return Result({**{key: near.get(key) for key in self.KEYS}, "manifold": manifold}, {})

    def notes(self, values: Values, halves: Values | None) -> list[str]:
        if values["manifold"] >= ENOUGH_NEAR:
            return []
        return [
            f"precision, recall, density and coverage of {values['manifold']} pictures of each set mean little, 0 too: "
            f"{NEAREST} nearest neighbours need about {ENOUGH_NEAR}"
        ]
