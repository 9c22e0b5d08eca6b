"""How near generated pictures come to real ones, from their features, by published libraries.

- FD: Frechet distance of two Gaussians (FID where the features are Inception's; arXiv 1706.08500), torchmetrics.
  It is biased: few pictures make it large, so only sets of one size can be compared.
- KID: squared maximum mean discrepancy with a cubic kernel (arXiv 1801.01401), torchmetrics. It is unbiased: prefer it
  for small sets. It may come out slightly negative.
- precision and recall (arXiv 1904.06991), density and coverage (arXiv 2002.09797), prdc.
"""

import contextlib
import io
import warnings
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from gcfg_core.errors import InputError

SUBSETS = 100
LARGEST_SUBSET = 1000  # of KID, as in its paper's code
NEAREST = 5  # neighbours of precision and recall, as in prdc's examples
LARGEST_MANIFOLD = 10_000  # pictures of each set whose distances are held in memory
ENOUGH_NEAR = 250  # pictures of each set: precision of the starter pictures scatters by 0.2 among 16, by 0.05 among 256
ENOUGH = 2048  # pictures from which FD is usually reported


@dataclass(frozen=True)
class Scores:
    """Distances between two sets; None where there are too few pictures.

    Attributes:
        real, generated: pictures in each set.
        fd: Frechet distance.
        kid, kid_std: mean and standard deviation over subsets of ``kid_subset`` pictures.
        precision, recall, density, coverage: of ``manifold`` pictures of each set.
    """

    real: int
    generated: int
    fd: float
    kid: float
    kid_std: float
    kid_subset: int
    precision: float | None
    recall: float | None
    density: float | None
    coverage: float | None
    manifold: int

    def as_json(self) -> dict[str, float | int | None]:
        return asdict(self)


class Given(nn.Module):
    """Hands on features that are there already, where torchmetrics wants a network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def score(real: Tensor, generated: Tensor, seed: int = 0) -> Scores:
    """Every distance between two sets.

    Args:
        real, generated: features [N, D] and [M, D] float64, each in an order that depends on content alone.
        seed: of KID's subsets.

    Raises:
        InputError: fewer than two pictures in a set.
    """
    smaller = min(len(real), len(generated))
    if smaller < 2:
        raise InputError("pictures", "at least two in each set", str(smaller), "Give more pictures.")
    subset = max(2, min(LARGEST_SUBSET, smaller // 2))
    mean, deviation = kernel_distance(real, generated, subset, seed)
    manifold = min(smaller, LARGEST_MANIFOLD)
    near = neighbourhoods(real[:manifold], generated[:manifold])
    return Scores(
        real=len(real), generated=len(generated), fd=frechet_distance(real, generated), kid=mean, kid_std=deviation,
        kid_subset=subset, precision=near.get("precision"), recall=near.get("recall"), density=near.get("density"),
        coverage=near.get("coverage"), manifold=manifold,
    )  # fmt: skip


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """|mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 sqrt(C_1 C_2)), float64."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Given(real.shape[1])).set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


def kernel_distance(real: Tensor, generated: Tensor, subset: int, seed: int = 0) -> tuple[float, float]:
    """KID's mean and standard deviation over SUBSETS random subsets of ``subset`` pictures of each set."""
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # that it keeps features in memory
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(feature=Given(real.shape[1]), subsets=SUBSETS, subset_size=subset)
        metric = metric.set_dtype(torch.float64)
        metric.update(real.double(), real=True)
        metric.update(generated.double(), real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def neighbourhoods(real: Tensor, generated: Tensor, nearest: int = NEAREST) -> dict[str, float]:
    """precision, recall, density and coverage of two sets of one size; empty where they have too few pictures."""
    from prdc import compute_prdc

    if len(real) < nearest + 2:
        return {}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the sizes
        found = compute_prdc(real.numpy(), generated.numpy(), nearest_k=nearest)
    return {name: float(value) for name, value in found.items()}
