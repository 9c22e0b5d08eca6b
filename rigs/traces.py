"""Traces made by hand, of any number of terms, calls and samples."""

from collections.abc import Collection, Sequence
from typing import Any

import torch


def made_trace(
    module: Any, terms: Sequence[str] = ("concept", "control"), calls: int = 6, batch: int = 1,
    models: Sequence[str] = ("base", "concept"), weights: Sequence[float] | None = None,
    unmeasured: Collection[int] = (), windows: Sequence[tuple[float, float]] | None = None, start: float = 0.0,
    sigma_max: float = 10.0,
) -> Any:  # fmt: skip
    """A finished trace.

    Args:
        module: gcfg_core.trace, the test's own or the pack's.
        unmeasured: terms whose differences were not computed.
        windows: when each term acts.
        start: progress at the first call.
        sigma_max: noise level at progress 0, from where it falls evenly.
    """
    made = torch.Generator().manual_seed(0)
    text = "D = base(null)" + "".join(f" + 2.5 * ({name}(null) - base(null))" for name in terms)
    trace = module.Trace(text, tuple(terms), tuple(models))
    trace.begin()
    directions = [torch.randn(batch, 4, 8, 8, generator=made) for _ in terms]
    for k in range(calls):
        progress = start + (1.0 - start) * k / calls
        given = [
            0.0 if windows is not None and not windows[i][0] <= progress < windows[i][1] else weight
            for i, weight in enumerate(weights if weights is not None else [2.5] * len(terms))
        ]
        differences = {
            i: direction * (0.2 + 1.0 - progress) + 0.3 * torch.randn(direction.shape, generator=made)
            for i, direction in enumerate(directions)
            if given[i] != 0.0 and i not in unmeasured
        }
        added = {i: difference * given[i] for i, difference in differences.items()}
        evaluations = [2, *[k % 2] * (len(models) - 1)]
        spans = [(0.0, 0.25), *[(0.0, 0.125)] * (len(models) - 1)]
        trace.add(
            torch.tensor([sigma_max * (1.0 - progress)]), given, differences, added, evaluations, (0.0, 0.5), spans
        )
    trace.finish(lambda sigma: 1.0 - sigma / sigma_max)
    return trace
