"""The trace tells what a run did: the size of each difference, and what was evaluated for which model."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from gcfg_core.trace.trace import CallRecord, Trace
from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, gcfg, points
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided

C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)


def root_mean_square(difference: Tensor) -> list[float]:
    """sqrt(mean d^2) of each sample, in float64."""
    return difference.double().flatten(1).square().mean(1).sqrt().tolist()


def add(trace: Trace, *differences: Tensor | None, weights: Sequence[float] | None = None) -> None:
    """One call in which these differences were at hand, each added with its weight."""
    weights = [1.0] * len(differences) if weights is None else weights
    found = {i: difference for i, difference in enumerate(differences) if difference is not None}
    added = {i: difference * weights[i] for i, difference in found.items()}
    trace.add(torch.tensor([2.5, 2.5]), weights, found, added, [1], (1.0, 1.25), [(1.0, 1.2)])


def finished(*differences: Tensor | None, weights: Sequence[float] | None = None) -> CallRecord:
    """The record of one such call."""
    trace = Trace()
    add(trace, *differences, weights=weights)
    trace.finish()
    return trace.records[0]


class TestAdd:
    def test_size_is_the_root_mean_square_of_each_sample(self) -> None:
        """|c| for a constant c; s / sqrt(n) where one of n numbers is s."""
        spike = torch.zeros(4, 2, 3)
        spike[1, 0, 2] = 6.0
        trace = Trace()
        add(trace, torch.stack([torch.full((4, 2, 3), -3.0), spike, torch.zeros(4, 2, 3)]))
        trace.finish()
        assert trace.records[0].sizes[0] == pytest.approx((3.0, 6.0 / 24**0.5, 0.0))

    @pytest.mark.parametrize("shape", [(2, 16, 3, 4, 4), (2, 8, 32)])
    def test_any_number_of_dimensions(self, shape: tuple[int, ...]) -> None:
        difference = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        trace = Trace()
        add(trace, difference)
        trace.finish()
        assert trace.records[0].sizes[0] == pytest.approx(root_mean_square(difference))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_does_not_overflow(self, dtype: torch.dtype) -> None:
        """A norm of 400 * sqrt(65536) does not fit float16."""
        trace = Trace()
        add(trace, torch.full((1, 4, 128, 128), 400.0, dtype=dtype))
        trace.finish()
        assert trace.records[0].sizes[0] == pytest.approx((400.0,), rel=1e-3)

    def test_every_term_has_its_place(self) -> None:
        trace = Trace()
        add(trace, None, torch.ones(1, 4), None)
        trace.finish()
        assert trace.records[0].sizes == (None, (1.0,), None)

    def test_a_record_says_what_it_was_given(self) -> None:
        trace = Trace()
        spans = (1.0, 1.25), None
        trace.add(torch.tensor([2.5, 2.5]), [0.5, -2.0], {}, {}, [3, 0], (1.0, 1.5), spans)
        trace.finish(lambda sigma: 1.0 - sigma / 10.0)
        record = trace.records[0]
        assert (record.sigma, record.progress, record.weights) == (2.5, 0.75, (0.5, -2.0))
        assert (record.evaluations, record.seconds, record.model_seconds) == ((3, 0), 0.5, (0.25, 0.0))

    def test_evaluations_of_a_run_are_those_of_all_calls_and_models(self) -> None:
        trace = Trace()
        for evaluations in ([2, 1], [2, 0], [0, 4]):
            trace.add(torch.tensor([1.0]), [1.0], {}, {}, evaluations, (0.0, 0.0), [None, None])
        trace.finish()
        assert trace.evaluations == 9

    def test_a_run_that_begins_drops_what_another_left_on_the_device(self) -> None:
        trace = Trace()
        add(trace, torch.ones(1, 4))
        trace.begin()
        add(trace, torch.zeros(1, 4))
        trace.finish()
        assert [record.sizes for record in trace.records] == [((0.0,),)]


class TestSizes:
    def test_are_those_of_the_differences_before_weight_modifiers_and_mask(self, pack: Any) -> None:
        base, other, mask = micro_model(0), micro_model(5), torch.zeros(8, 8)
        mask[:2] = 1.0
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=C, weight=3.0)
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, model=other, positive=D, reference_model=other,
                            reference=U, weight=-1.5)  # fmt: skip
        (terms,) = pack.run("GCFG_ModifyTerm", terms=terms, projection="primary term", norm_cap=0.5)
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, model=other, positive=C, weight=0.7, mask=mask)
        guider, trace = pack.run("GCFG_Guider", model=base, conditioning=U, terms=terms)
        guided(guider, points(batch=3), SIGMAS)
        for record, x, s in zip(trace.records, points(batch=3), SIGMAS, strict=True):
            zero = denoised(base, U, x, s)
            differences = [
                denoised(base, C, x, s) - zero,
                denoised(other, D, x, s) - denoised(other, U, x, s),
                denoised(other, C, x, s) - zero,
            ]
            assert len(record.sizes) == 3
            for size, difference in zip(record.sizes, differences, strict=True):
                assert size == pytest.approx(root_mean_square(difference), rel=1e-4)
                assert len(set(size)) == 3, "the samples are all alike, so this shows nothing"

    def test_none_where_the_base_cancels(self, pack: Any) -> None:
        """D = base + 1 * (cond - base) = cond: without the base there is no difference to measure."""
        guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 1.0})
        guided(guider, points(), SIGMAS)
        assert [record.sizes for record in guider.trace.records] == [(None,)] * 3
        assert [record.evaluations for record in guider.trace.records] == [(1,)] * 3

    def test_none_only_for_the_terms_that_lack_a_side(self, pack: Any) -> None:
        """The weights of two terms sum to 1, so that the base cancels; the third has both its sides."""
        base, other = micro_model(0), micro_model(5)
        own = {"model": other, "positive": D, "reference_model": other, "reference": U, "weight": 2.0}
        guider = gcfg(
            pack, base, U, {"positive": C, "weight": 0.25}, {"model": other, "positive": C, "weight": 0.75}, own
        )
        guided(guider, points(), SIGMAS)
        for record, x, s in zip(guider.trace.records, points(), SIGMAS, strict=True):
            assert record.sizes[:2] == (None, None)
            expected = root_mean_square(denoised(other, D, x, s) - denoised(other, U, x, s))
            assert record.sizes[2] == pytest.approx(expected, rel=1e-4)

    def test_none_outside_a_terms_window(self, pack: Any) -> None:
        late = {"positive": D, "weight": 2.0, "start_percent": 0.5}
        guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0}, late)
        guided(guider, points(), SIGMAS)
        assert [record.sizes[1] is None for record in guider.trace.records] == [True, True, False]
        assert all(record.sizes[0] is not None for record in guider.trace.records)

    def test_a_reused_difference_keeps_its_size(self, pack: Any) -> None:
        (terms,) = pack.run("GCFG_GuidanceTerm", model=micro_model(5), positive=D, weight=2.0)
        (terms,) = pack.run("GCFG_ModifyTerm", terms=terms, refresh=2)
        guider, trace = pack.run("GCFG_Guider", model=micro_model(0), conditioning=U, terms=terms)
        guided(guider, points(), SIGMAS)
        first, second, third = (record.sizes[0] for record in trace.records)
        assert first == second != third
        assert [record.evaluations for record in trace.records] == [(1, 1), (1, 0), (1, 1)]


def test_evaluations_are_counted_for_each_model(pack: Any) -> None:
    """Three models, two of which share a network: the columns of the trace are those of ``models``."""
    base, other = micro_model(0), micro_model(5)
    variant = with_lora(base, 1)
    late = {"model": variant, "positive": D, "weight": 2.0, "start_percent": 0.5, "label": "variant"}
    guider = gcfg(
        pack, base, U, {"positive": C, "weight": 3.0},
        {"model": other, "positive": C, "reference_model": other, "weight": -1.5, "label": "other"},
        {"model": other, "positive": D, "weight": 0.5}, late,
    )  # fmt: skip
    with count_forwards(base, other) as n:
        guided(guider, points(), SIGMAS)
        records = guider.trace.records
        assert guider.trace.models == ("base", "other", "variant")
        assert [record.evaluations for record in records] == [(2, 3, 0), (2, 3, 0), (2, 3, 1)]
        shared, own = (n.of(model).chunks for model in (base, other))
    assert shared == sum(record.evaluations[0] + record.evaluations[2] for record in records)
    assert own == sum(record.evaluations[1] for record in records)
    assert guider.trace.evaluations == shared + own
