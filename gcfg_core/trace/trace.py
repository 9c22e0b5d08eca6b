"""The trace of a sampling run: the numbers of each term in every guider call, and the cost of the call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .alignment import Alignment, Samples, inner_products, root_mean_squares
from .clock import Span, seconds_of


@dataclass(frozen=True)
class CallRecord:
    """One guider call. Sizes, pushes and cosines of a term have one value per sample.

    They are None if they were not computed: the term did not act, or a side of it was not evaluated. What a term *adds*
    is w * M * (its difference after modifiers); the *total* is the sum of that over all terms, before cfg hooks and
    rescale.

    Attributes:
        sigma: noise level of the call.
        progress: share of sampling done at this sigma, as start_percent and end_percent mean it; nan if unknown.
        weights: each term's weight, 0 where it did not act.
        sizes: root mean square of each term's difference before modifiers, mask and weight.
        pushes: root mean square of what each term adds.
        total: root mean square of the total; None if a term's part in it was not computed.
        cosines: of what each term adds with the total; nan for a sample in which one of the two is zero.
        between: the cosines of what every two terms add, term by term.
        evaluations: number of predictions evaluated, per model.
        seconds: time of the call, on a GPU by the GPU's clock.
        model_seconds: the part of that time spent in each model.
    """

    sigma: float
    progress: float
    weights: tuple[float, ...]
    sizes: tuple[Samples | None, ...]
    pushes: tuple[Samples | None, ...]
    total: Samples | None
    cosines: tuple[Samples | None, ...]
    between: tuple[tuple[Samples | None, ...], ...]
    evaluations: tuple[int, ...]
    seconds: float
    model_seconds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class KeptPredictions:
    """The denoised predictions of one call, kept for pictures.

    Attributes:
        sigma, progress: of the call.
        latents: by name, the evaluated predictions and finally the guider's result; the batch's first sample
            [1, C, ...] on the CPU, as a VAE decodes it.
    """

    sigma: float
    progress: float
    latents: Mapping[str, Tensor]


@dataclass(eq=False)
class _PendingCall:
    """A call whose numbers are still on the device."""

    sigma: Tensor
    weights: tuple[float, ...]
    measured: tuple[int, ...]
    sizes: Tensor | None
    products: Tensor | None
    has_total: bool
    evaluations: tuple[int, ...]
    span: Span
    model_spans: tuple[Span | None, ...]

    def fetch(self, percent: Callable[[float], float]) -> CallRecord:
        sigma, count = float(self.sigma), len(self.weights)
        sizes = [] if self.sizes is None else self.sizes.T.tolist()
        alignment = Alignment([] if self.products is None else self.products.tolist())
        place = {i: k for k, i in enumerate(self.measured)}
        total = len(self.measured)  # the last of the vectors
        has_total = self.has_total and total > 0

        def of(i: int, read: Callable[[int], Samples]) -> Samples | None:
            return read(place[i]) if i in place else None

        def cosine(i: int, j: int) -> Samples | None:
            return alignment.cosine(place[i], place[j]) if i in place and j in place else None

        terms = range(count)
        return CallRecord(
            sigma=sigma,
            progress=percent(sigma),
            weights=self.weights,
            sizes=tuple(of(i, lambda k: tuple(sizes[k])) for i in terms),
            pushes=tuple(of(i, alignment.size) for i in terms),
            total=alignment.size(total) if has_total else None,
            cosines=tuple(of(i, lambda k: alignment.cosine(k, total)) if has_total else None for i in terms),
            between=tuple(tuple(cosine(i, j) for j in terms) for i in terms),
            evaluations=self.evaluations,
            seconds=seconds_of(self.span),
            model_seconds=tuple(0.0 if span is None else seconds_of(span) for span in self.model_spans),
        )


def _unknown(_: float) -> float:
    return math.nan


@dataclass
class Trace:
    """The record of a guider's last run, filled while it samples. ``terms`` and ``models`` name the columns.

    A guider may sample several times (two samplers, two passes, another seed); ``runs`` counts them.
    """

    formula: str = ""
    terms: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    records: list[CallRecord] = field(default_factory=list)
    kept: KeptPredictions | None = None
    runs: int = 0
    _pending: list[_PendingCall] = field(default_factory=list, repr=False)

    def begin(self) -> None:
        self.records.clear()
        self._pending.clear()
        self.kept = None
        self.runs += 1

    def add(
        self,
        sigma: Tensor,
        weights: Sequence[float],
        differences: Mapping[int, Tensor],
        added: Mapping[int, Tensor],
        evaluations: Sequence[int],
        span: Span,
        model_spans: Sequence[Span | None],
    ) -> None:
        """Record one call without waiting for the device.

        Args:
            sigma: [B].
            weights: each term's, 0 where it did not act.
            differences: term -> [B, ...], its difference, for the terms that have both sides.
            added: of the same terms, weight * mask * modified difference.
            evaluations: per model.
            span, model_spans: when the call, and in it each model, began and ended.
        """
        measured = tuple(sorted(differences))
        sizes = products = None
        if measured:
            parts = [added[i] for i in measured]
            sizes = root_mean_squares([differences[i] for i in measured])
            products = inner_products([*parts, sum(parts[1:], parts[0])])
        has_total = all(i in differences for i, weight in enumerate(weights) if weight != 0.0)
        self._pending.append(
            _PendingCall(
                sigma[:1], tuple(weights), measured, sizes, products, has_total, tuple(evaluations), span,
                tuple(model_spans),
            )
        )  # fmt: skip

    def finish(self, percent: Callable[[float], float] = _unknown) -> None:
        """Fetch the numbers that are still on the device, also after an early end. ``percent``: of a sigma."""
        self.records.extend(call.fetch(percent) for call in self._pending)
        self._pending.clear()

    @property
    def evaluations(self) -> int:
        """Number of predictions evaluated in the whole run."""
        return sum(sum(record.evaluations) for record in self.records)
