"""What each term adds and which way it points, as the trace tells it: closed forms, and real runs against sums."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from gcfg_core.trace.trace import CallRecord, Trace
from rigs.graphs import SIGMAS, gcfg, points
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided, sampled

pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times
C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)


def record_of(added: Mapping[int, Tensor], weights: tuple[float, ...]) -> CallRecord:
    """The record of one call in which these terms added this."""
    trace = Trace()
    trace.add(torch.tensor([1.0]), weights, added, added, [1], (0.0, 0.0), [None])
    trace.finish()
    return trace.records[0]


def random(seed: int, batch: int = 3) -> Tensor:
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def cosine(one: Tensor, other: Tensor) -> list[float]:
    one, other = one.double().flatten(1), other.double().flatten(1)
    return ((one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))).tolist()


def root_mean_square(value: Tensor) -> list[float]:
    return value.double().flatten(1).square().mean(1).sqrt().tolist()


class TestClosedForms:
    def test_one_term_is_the_total(self) -> None:
        record = record_of({0: random(0)}, (2.0,))
        assert record.cosines[0] == pytest.approx((1.0,) * 3, abs=1e-6)
        assert record.total == pytest.approx(record.pushes[0])

    @pytest.mark.parametrize(("factor", "expected"), [(1.0, 1.0), (2.5, 1.0), (-0.5, -1.0)])
    def test_identical_and_opposite_terms(self, factor: float, expected: float) -> None:
        """The second adds ``factor`` times what the first does; together they point the first's way."""
        record = record_of({0: random(0), 1: factor * random(0)}, (1.0, 1.0))
        assert record.between[0][1] == pytest.approx((expected,) * 3, abs=1e-6)
        assert record.between[1][0] == record.between[0][1]
        assert record.cosines[0] == pytest.approx((1.0,) * 3, abs=1e-6)
        assert record.cosines[1] == pytest.approx((expected,) * 3, abs=1e-6)

    def test_a_right_angle(self) -> None:
        """(3, 0) and (0, 4): sizes 3 / sqrt 2 and 4 / sqrt 2, total 5 / sqrt 2, cosines 3/5 and 4/5."""
        record = record_of({0: torch.tensor([[3.0, 0.0]]), 1: torch.tensor([[0.0, 4.0]])}, (1.0, 1.0))
        assert record.between[0][1] == (0.0,)
        assert [record.cosines[0][0], record.cosines[1][0]] == pytest.approx([0.6, 0.8])
        assert [record.pushes[0][0], record.pushes[1][0], record.total[0]] == pytest.approx(
            [3 / 2**0.5, 4 / 2**0.5, 5 / 2**0.5]
        )

    def test_terms_that_cancel_have_no_direction(self) -> None:
        record = record_of({0: random(0), 1: -random(0)}, (1.0, 1.0))
        assert record.total == (0.0,) * 3
        assert all(map(math.isnan, (*record.cosines[0], *record.cosines[1])))
        assert record.between[0][1] == pytest.approx((-1.0,) * 3, abs=1e-6)

    def test_nearly_cancelling_terms_keep_their_direction(self) -> None:
        """The rest is a thousandth of either term."""
        rest = 1e-3 * random(1)
        record = record_of({0: random(0), 1: rest - random(0)}, (1.0, 1.0))
        assert record.cosines[0] == pytest.approx(cosine(random(0), rest), abs=1e-3)
        assert record.total == pytest.approx(root_mean_square(rest), rel=1e-3)

    def test_samples_do_not_mix(self) -> None:
        one, other = random(0), random(1)
        together = record_of({0: one, 1: other}, (1.0, 1.0))
        for k in range(3):
            alone = record_of({0: one[k : k + 1], 1: other[k : k + 1]}, (1.0, 1.0))
            assert together.between[0][1][k] == pytest.approx(alone.between[0][1][0], abs=1e-6)
            assert together.cosines[0][k] == pytest.approx(alone.cosines[0][0], abs=1e-6)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_does_not_overflow(self, dtype: torch.dtype) -> None:
        large = torch.full((1, 4, 128, 128), 400.0, dtype=dtype)
        record = record_of({0: large, 1: -0.5 * large}, (1.0, 1.0))
        assert record.between[0][1] == pytest.approx((-1.0,), abs=1e-3)
        assert record.pushes[0] == pytest.approx((400.0,), rel=1e-3)

    def test_a_term_that_was_not_computed_leaves_no_total(self) -> None:
        record = record_of({1: random(0), 2: random(1)}, (1.0, 2.0, 3.0))
        assert record.total is None
        assert record.cosines == (None,) * 3
        assert record.between[0] == (None,) * 3
        assert record.between[1][2] is not None

    def test_a_term_that_did_not_act_is_no_part_of_it(self) -> None:
        record = record_of({1: random(0)}, (0.0, 2.0))
        assert record.cosines[0] is None
        assert record.cosines[1] == pytest.approx((1.0,) * 3, abs=1e-6)


class TestRuns:
    def test_against_predictions_mixed_by_hand(self, pack: Any) -> None:
        """Two models, a mask and a negative weight; single predictions come from ComfyUI alone."""
        base, other, mask = micro_model(0), micro_model(5), torch.zeros(8, 8)
        mask[:3] = 1.0
        terms = [
            {"positive": C, "weight": 3.0},
            {"model": other, "positive": D, "weight": -1.5, "mask": mask},
            {"model": other, "positive": C, "reference_model": other, "reference": U, "weight": 0.5},
        ]
        guider = gcfg(pack, base, U, *terms)
        guided(guider, points(batch=2), SIGMAS)
        for record, x, s in zip(guider.trace.records, points(batch=2), SIGMAS, strict=True):
            zero = denoised(base, U, x, s)
            added = [
                3.0 * (denoised(base, C, x, s) - zero),
                -1.5 * mask * (denoised(other, D, x, s) - zero),
                0.5 * (denoised(other, C, x, s) - denoised(other, U, x, s)),
            ]
            total = added[0] + added[1] + added[2]
            assert record.total == pytest.approx(root_mean_square(total), rel=1e-4)
            for i in range(3):
                assert record.pushes[i] == pytest.approx(root_mean_square(added[i]), rel=1e-4)
                assert record.cosines[i] == pytest.approx(cosine(added[i], total), abs=1e-4)
                for j in range(3):
                    assert record.between[i][j] == pytest.approx(cosine(added[i], added[j]), abs=1e-4)

    def test_push_is_weight_times_size_where_nothing_else_acts(self, pack: Any) -> None:
        guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": -2.0})
        guided(guider, points(), SIGMAS)
        for record in guider.trace.records:
            assert record.pushes[0] == pytest.approx([2.0 * size for size in record.sizes[0]], rel=1e-5)

    def test_push_is_what_is_left_after_modifiers(self, pack: Any) -> None:
        capped = {"positive": C, "weight": 2.0, "modify": {"norm_cap": 0.5}}
        guider = gcfg(pack, micro_model(0), U, capped)
        guided(guider, points(), SIGMAS)
        for record in guider.trace.records:
            assert record.sizes[0][0] > 0.5 / 256**0.5
            assert record.pushes[0] == pytest.approx((2.0 * 0.5 / 256**0.5,), rel=1e-4)

    def test_perp_neg_leaves_a_right_angle(self, pack: Any) -> None:
        away = {"positive": D, "weight": -1.5, "modify": {"projection": "primary term"}}
        guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0}, away)
        guided(guider, points(), SIGMAS)
        for record in guider.trace.records:
            assert record.between[0][1] == pytest.approx((0.0,), abs=1e-5)

    def test_progress_is_comfyuis_percent(self, pack: Any) -> None:
        model = micro_model(0)
        percent_to_sigma = model.get_model_object("model_sampling").percent_to_sigma
        percents = (0.1, 0.5, 0.85)
        sigmas = [float(percent_to_sigma(percent)) for percent in percents]
        guider = gcfg(pack, model, U, {"positive": C})
        guided(guider, points(sigmas), sigmas)
        assert [record.progress for record in guider.trace.records] == pytest.approx(percents, abs=1e-4)

    def test_seconds_of_models_are_within_those_of_the_call(self, pack: Any) -> None:
        own = {"model": micro_model(5), "weight": 2.0, "start_percent": 0.5}
        guider = gcfg(pack, micro_model(0), U, {"positive": C}, own)
        guided(guider, points(), SIGMAS)
        for record in guider.trace.records:
            base, other = record.model_seconds
            assert 0.0 < base + other <= record.seconds
            assert (other > 0.0) == (record.evaluations[1] > 0)

    @pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m_sde", "heun"])
    def test_recording_does_not_change_a_bit(self, pack: Any, monkeypatch: pytest.MonkeyPatch, sampler: str) -> None:
        guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0}, {"model": micro_model(5), "weight": 2.0})
        latent = torch.zeros(2, 4, 8, 8)
        recorded = sampled(guider, latent, sampler=sampler)
        assert guider.trace.records
        monkeypatch.setattr(guider.trace, "add", lambda *_: None)
        assert torch.equal(sampled(guider, latent, sampler=sampler), recorded)
        assert not guider.trace.records
