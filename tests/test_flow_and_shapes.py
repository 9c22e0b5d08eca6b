"""Rescale measures a flow model's deviation on velocities; a latent that changes its shape drops what was stored."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, gcfg, points, refreshing, relative_error
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided

LIMIT = 1e-5
WEIGHT = 3.5
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))


class TestRescaleOfFlow:
    """Equations 14 to 16 of arXiv 2305.08891 on what a flow model predicts, the velocity (x - D) / s."""

    SHARE = 0.7
    TIMES = (0.9, 0.5, 0.1)

    @staticmethod
    def flow(pack: Any, seed: int) -> Any:
        return pack.run("ModelSamplingSD3", model=micro_model(seed), shift=3.0)[0]

    @staticmethod
    def rescaled(total: Tensor, positive: Tensor, share: float) -> Tensor:
        """share * total * std(positive) / std(total) + (1 - share) * total, each sample on its own."""
        rows = []
        for one, other in zip(total.double(), positive.double(), strict=True):
            rows.append(share * one * other.std() / one.std() + (1.0 - share) * one)
        return torch.stack(rows)

    @pytest.mark.parametrize("share", [0.7, 1.0])
    def test_one_term_is_the_papers_formula_on_velocities(self, pack: Any, share: float) -> None:
        guider = gcfg(pack, self.flow(pack, 0), U, {"positive": C, "weight": WEIGHT}, rescale=share)
        xs = points((1.0,) * 3, batch=2)
        expected = []
        for x, s in zip(xs, self.TIMES, strict=True):
            positive, base = ((x - denoised(self.flow(pack, 0), cond, x, s)) / s for cond in (C, U))
            expected.append(x - s * self.rescaled(base + WEIGHT * (positive - base), positive, share))
        assert relative_error(guided(guider, xs, self.TIMES), expected) <= LIMIT

    def test_terms_of_other_models_count_and_the_first_positive_sets_the_deviation(self, pack: Any) -> None:
        """A flow and an eps model beside a flow base; the eps model is asked at s / (1 - s) with x / (1 - s)."""
        terms = [
            {"model": micro_model(7), "positive": D, "weight": 1.7},
            {"positive": C, "weight": WEIGHT},
            {"model": self.flow(pack, 5), "positive": E, "weight": -0.5},
        ]
        guider = gcfg(pack, self.flow(pack, 0), U, *terms, rescale=self.SHARE)
        xs, expected = points((1.0,) * 3, batch=2), []
        for x, s in zip(xs, self.TIMES, strict=True):
            first = denoised(micro_model(7), D, x / (1 - s), s / (1 - s))
            positive, base = (denoised(self.flow(pack, 0), cond, x, s) for cond in (C, U))
            third = denoised(self.flow(pack, 5), E, x, s)
            total = base + 1.7 * (first - base) + WEIGHT * (positive - base) - 0.5 * (third - base)
            expected.append(x - s * self.rescaled((x - total) / s, (x - first) / s, self.SHARE))
        assert relative_error(guided(guider, xs, self.TIMES), expected) <= LIMIT

    def test_on_an_eps_base_it_is_the_v_although_a_terms_model_is_flow(self, pack: Any) -> None:
        model = self.flow(pack, 5)
        guider = gcfg(pack, micro_model(0), U, {"model": model, "positive": C, "weight": WEIGHT}, rescale=self.SHARE)
        xs, expected = points(batch=2), []
        for x, s in zip(xs, SIGMAS, strict=True):
            base = denoised(micro_model(0), U, x, s)
            positive = denoised(model, C, x / (1 + s), s / (1 + s))
            q = s * s + 1.0
            total, own = ((x / q - one) * q**0.5 / s for one in (base + WEIGHT * (positive - base), positive))
            expected.append(x / q - self.rescaled(total, own, self.SHARE) * s / q**0.5)
        assert relative_error(guided(guider, xs, SIGMAS), expected) <= LIMIT

    def test_v_in_the_velocitys_place_would_give_another_result(self, pack: Any) -> None:
        """Otherwise the tests above could not tell the two apart."""
        x, s = points((1.0,), batch=2)[0], self.TIMES[1]
        positive, base = (denoised(self.flow(pack, 0), cond, x, s) for cond in (C, U))
        total, q = base + WEIGHT * (positive - base), s * s + 1.0
        flow = x - s * self.rescaled((x - total) / s, (x - positive) / s, self.SHARE)
        v, own = ((x / q - one) * q**0.5 / s for one in (total, positive))
        assert relative_error([x / q - self.rescaled(v, own, self.SHARE) * s / q**0.5], [flow]) > 1e-2


class TestRefreshAndTheLatentsShape:
    """A stored difference is of one latent: another shape computes it anew, and only that."""

    def run(self, pack: Any, xs: list[Tensor]) -> tuple[list[Tensor], list[float]]:
        """The guided predictions at falling sigmas, and at which of them the term's model was asked."""
        terms = refreshing(pack, 100, model=micro_model(5), positive=C, weight=2.0)
        (guider, _) = pack.run("GCFG_Guider", model=micro_model(0), conditioning=U, terms=terms)
        model = guider.plan.models[1]
        with count_forwards(model) as n:
            results = guided(guider, xs, self.sigmas(xs))
            return results, n.of(model).sigmas

    @staticmethod
    def sigmas(xs: list[Tensor]) -> list[float]:
        return [8.0 / (k + 1) for k in range(len(xs))]

    @pytest.mark.parametrize(
        "change",
        [lambda x: x.repeat(2, 1, 1, 1), lambda x: x.repeat(1, 1, 2, 2), lambda x: x[..., :4]],
        ids=["a batch of two", "twice the sides", "half the width"],
    )
    def test_a_change_drops_it(self, pack: Any, change: Callable[[Tensor], Tensor]) -> None:
        """Calls 0 and 1 share a shape, 2 and 3 another, 4 has the first again: computed at 0, 2 and 4."""
        xs = points((9.0, 4.0, 2.0, 1.0, 0.5))
        xs = [*xs[:2], *map(change, xs[2:4]), xs[4]]
        results, asked = self.run(pack, xs)
        sigmas = self.sigmas(xs)
        assert asked == pytest.approx([sigmas[0], sigmas[2], sigmas[4]])
        difference = torch.zeros(1)
        for k, (x, s) in enumerate(zip(xs, sigmas, strict=True)):
            base = denoised(micro_model(0), U, x, s)
            if k % 2 == 0:
                difference = denoised(micro_model(5), C, x, s) - base
            assert results[k].shape == x.shape
            assert relative_error([results[k]], [base + 2.0 * difference]) <= LIMIT

    def test_the_same_shape_keeps_it(self, pack: Any) -> None:
        _, asked = self.run(pack, points((9.0, 4.0, 2.0)))
        assert asked == [8.0]
