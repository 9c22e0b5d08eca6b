"""The trace of a sampling run: per guider call the sigma, weights, sizes of the differences, evaluations, seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class CallRecord:
    """One guider call.

    Attributes:
        sigma: noise level of the call.
        weights: each term's weight, 0 where it did not act.
        sizes: each term's root mean square difference, per sample; None where it was not computed.
        evaluations: number of predictions evaluated, per model.
        seconds: wall time of the call; on a GPU work may still be queued when it ends.
    """

    sigma: float
    weights: tuple[float, ...]
    sizes: tuple[tuple[float, ...] | None, ...]
    evaluations: tuple[int, ...]
    seconds: float


@dataclass
class _PendingCall:
    """A call whose numbers still lie on the device."""

    sigma: Tensor
    weights: tuple[float, ...]
    sizes: tuple[Tensor | None, ...]
    evaluations: tuple[int, ...]
    seconds: float


@dataclass
class Trace:
    """Filled while a guider samples; a second run begins it anew. ``terms`` and ``models`` name the columns."""

    formula: str = ""
    terms: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    records: list[CallRecord] = field(default_factory=list)
    _pending: list[_PendingCall] = field(default_factory=list, repr=False)

    def begin(self) -> None:
        self.records.clear()
        self._pending.clear()

    def add(
        self,
        sigma: Tensor,
        weights: Sequence[float],
        differences: Mapping[int, Tensor],
        evaluations: Sequence[int],
        seconds: float,
    ) -> None:
        """Record one call without waiting for the device. sigma: [B]; differences: term index -> [B, ...]."""
        sizes = tuple(
            None if (difference := differences.get(i)) is None else _root_mean_square(difference)
            for i in range(len(weights))
        )
        self._pending.append(_PendingCall(sigma[:1], tuple(weights), sizes, tuple(evaluations), seconds))

    def finish(self) -> None:
        """Fetch what still lies on the device; also called when a run ends early."""
        for call in self._pending:
            sizes = tuple(None if size is None else tuple(size.tolist()) for size in call.sizes)
            self.records.append(CallRecord(float(call.sigma), call.weights, sizes, call.evaluations, call.seconds))
        self._pending.clear()

    @property
    def evaluations(self) -> int:
        """Number of predictions evaluated in the whole run."""
        return sum(sum(record.evaluations) for record in self.records)


def _root_mean_square(difference: Tensor) -> Tensor:
    """[B, ...] -> [B]."""
    flat = difference.flatten(1).float()
    return flat.norm(dim=1) / flat.shape[1] ** 0.5
