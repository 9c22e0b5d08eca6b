"""The distance of a reconstruction from its picture: pixels, edges, and features of EfficientNet-Lite0."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..evaluate.efficientnet import efficientnet_lite0

BLOCK = 8  # pixels along a side
COLOURS = 4.0  # weight of the blocks' mean colours


class ReconstructionLoss:
    """Compares pictures [B, 3, H, W] in -1..1.

    Args:
        feature_weight: weight of the features' distance (a perceptual loss, as in arXiv 1603.08155).
    """

    def __init__(self, feature_weight: float) -> None:
        self.feature_weight = feature_weight
        self.network = efficientnet_lite0().to(memory_format=torch.channels_last)

    def __call__(self, found: Tensor, wanted: Tensor, share: float = 1.0) -> Tensor:
        """Return a scalar: |x| + x^2 of the error's pixels and of its means over blocks (the colours of areas), |x| of
        its gradients, and a share of the features' distance."""
        error = found - wanted
        colours, edges = F.avg_pool2d(error, BLOCK), (error.diff(dim=-1), error.diff(dim=-2))
        pixels = _size(error) + COLOURS * _size(colours) + sum(edge.abs().mean() for edge in edges)
        return pixels + share * self.feature_weight * self.features(found, wanted)

    def features(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean over resolutions of the features' mean difference, relative to the features' mean."""
        with torch.no_grad():
            real = self.network.levels(127.5 * wanted + 127.5)
        made = self.network.levels(127.5 * found + 127.5)
        return torch.stack([F.l1_loss(a, b) / b.abs().mean() for a, b in zip(made, real, strict=True)]).mean()


def _size(error: Tensor) -> Tensor:
    return error.abs().mean() + error.square().mean()
