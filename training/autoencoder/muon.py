"""Muon (kellerjordan.github.io/posts/muon; arXiv 2502.16982, Eq. 1 to 4) for convolutions, in float32.

torch.optim.Muon takes matrices alone and computes in bfloat16, which many CPUs emulate slowly.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Moves each weight along the orthogonal matrix that is nearest to its momentum.

    Args:
        weights: [out, in, height, width], each seen as a matrix [out, in * height * width].
        lr: spectral norm of a step.
        momentum: decay of the momentum (Nesterov's).
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(weights), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1.0 - group["momentum"])
                matrix = weight.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                longer = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                weight.add_(orthogonal(matrix).view_as(weight), alpha=-group["lr"] * longer)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return nearly U V^T of a matrix U S V^T: singular values between about 0.7 and 1.2 in place of S."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    a, b, c = COEFFICIENTS
    x = wide / (wide.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
