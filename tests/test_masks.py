"""Masks: brought to the latent's size as ComfyUI brings condition masks to it."""

from typing import Any

import comfy.samplers
import comfy.utils
import pytest
import torch
from torch import Tensor

from gcfg_core.guidance.masks import fit_mask
from rigs.by_hand import euler, fitted
from rigs.counter import count_forwards
from rigs.graphs import norm_error
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import denoised, guided
from rigs.tiny import load_tiny, tiny_cond


def random_mask(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


class TestSize:
    @pytest.mark.parametrize("shape", [(64, 64), (1, 64, 64), (1, 8, 12), (1, 5, 7), (2, 64, 96), (1, 512, 512)])
    def test_is_what_core_makes_of_a_condition_mask(self, shape: tuple) -> None:
        mask, latent = random_mask(*shape), (2, 4, 8, 12)
        conditions = [{"mask": mask}]
        comfy.samplers.resolve_areas_and_cond_masks_multidim(conditions, latent[2:], torch.device("cpu"))
        assert torch.equal(fit_mask(mask, latent).squeeze(1), conditions[0]["mask"])

    @pytest.mark.parametrize(
        ("mask", "latent", "expected"),
        [
            ((8, 8), (1, 4, 8, 8), (1, 1, 8, 8)),
            ((1, 8, 8), (3, 4, 8, 8), (1, 1, 8, 8)),
            ((2, 8, 8), (4, 4, 8, 8), (4, 1, 8, 8)),
            ((3, 8, 8), (2, 4, 8, 8), (2, 1, 8, 8)),
            ((1, 8, 8), (1, 16, 5, 4, 6), (1, 1, 1, 4, 6)),
            ((5, 8, 8), (1, 16, 5, 4, 6), (1, 1, 5, 4, 6)),
            ((2, 8, 8), (2, 16, 5, 4, 6), (1, 1, 5, 4, 6)),
            ((17, 8, 8), (1, 16, 5, 4, 6), (1, 1, 5, 4, 6)),
        ],
    )
    def test_shapes(self, mask: tuple, latent: tuple, expected: tuple) -> None:
        assert fit_mask(random_mask(*mask), latent).shape == expected

    def test_a_mask_for_each_latent_stays_with_it(self) -> None:
        mask = random_mask(2, 8, 8)
        fitted = fit_mask(mask, (4, 4, 8, 8))
        assert torch.equal(fitted[:, 0], mask.repeat(2, 1, 1))

    def test_a_mask_for_each_frame_stays_with_it(self) -> None:
        mask = random_mask(5, 4, 6)
        assert torch.equal(fit_mask(mask, (1, 16, 5, 4, 6))[0, 0], mask)

    @pytest.mark.parametrize("shape", [(5, 4, 6), (17, 32, 48), (2, 4, 6), (3, 12, 18)])
    @pytest.mark.parametrize("batch", [1, 2])
    def test_masks_of_a_video_are_what_core_makes_of_a_noise_mask(self, shape: tuple, batch: int) -> None:
        """One a picture frame or one a latent frame: they follow each other in time."""
        mask, latent = random_mask(*shape), (batch, 16, 5, 4, 6)
        assert torch.allclose(fit_mask(mask, latent).expand(latent), comfy.utils.reshape_mask(mask, latent))

    def test_a_latent_without_a_picture_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"mask: a latent of shape \[1, 64, 32\] has no picture"):
            fit_mask(random_mask(8, 8), (1, 64, 32))

    @pytest.mark.parametrize("shape", [(8,), (1, 3, 8, 8), (1, 1, 1, 8, 8)])
    def test_an_image_is_refused(self, shape: tuple) -> None:
        with pytest.raises(ValueError, match=r"mask: expected \[H, W\] or \[N, H, W\].*use a MASK"):
            fit_mask(random_mask(*shape), (1, 4, 8, 8))


@pytest.fixture(scope="module")
def model() -> Any:
    return micro_model(0)


def asked(pack: Any, model: Any, terms: tuple, batch: int = 1) -> Tensor:
    """Our guided prediction at one (x, sigma)."""
    (guider, _) = pack.run("GCFG_Guider", model=model, conditioning=micro_cond(0), terms=terms)
    x = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    return guided(guider, [x], [1.5])[0]


class TestEffect:
    def test_a_term_acts_inside_its_mask_only(self, pack: Any, model: Any) -> None:
        mask = torch.zeros(1, 8, 8)
        mask[:, :, 3:] = 1.0
        (masked,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0, mask=mask)
        (plain,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0)
        inside, everywhere, base = asked(pack, model, masked), asked(pack, model, plain), asked(pack, model, ())
        assert torch.equal(inside[..., 3:], everywhere[..., 3:])
        assert torch.allclose(inside[..., :3], base[..., :3], atol=1e-6)  # base from a batch of two

    def test_a_white_mask_changes_nothing(self, pack: Any, model: Any) -> None:
        (masked,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0, mask=torch.ones(1, 64, 64))
        (plain,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0)
        assert torch.allclose(asked(pack, model, masked), asked(pack, model, plain), atol=1e-6)

    def test_a_black_mask_costs_nothing(self, pack: Any, model: Any) -> None:
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0, mask=torch.zeros(1, 64, 64))
        with count_forwards(model) as n:
            asked(pack, model, terms)
        assert n.chunks == 1

    @pytest.mark.parametrize("soft", [False, True])
    @pytest.mark.parametrize("size", [8, 64])
    def test_regions_that_cover_everything_at_weight_1_drop_the_base(
        self, pack: Any, model: Any, size: int, soft: bool
    ) -> None:
        """M and 1 - M: a_base = 1 - M - (1 - M) = 0 everywhere, whatever the rounding of soft masks."""
        mask = random_mask(1, size, size)
        mask = mask if soft else (mask > 0.5).float()
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=1.0, mask=mask)
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=micro_cond(2), weight=1.0, mask=1.0 - mask)
        with count_forwards(model) as n:
            result = asked(pack, model, terms)
        assert n.chunks == 2
        alone = [
            asked(pack, model, pack.run("GCFG_GuidanceTerm", positive=micro_cond(i), weight=1.0)[0]) for i in (1, 2)
        ]
        fitted = fit_mask(mask, (1, 4, 8, 8))
        assert torch.allclose(result, fitted * alone[0] + (1 - fitted) * alone[1], atol=1e-5)

    def test_each_latent_of_a_batch_has_its_own(self, pack: Any, model: Any) -> None:
        mask = torch.stack([torch.ones(8, 8), torch.zeros(8, 8)])
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0, mask=mask)
        (plain,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0)
        both, full, base = (asked(pack, model, t, batch=2) for t in (terms, plain, ()))
        assert torch.allclose(both[0], full[0], atol=1e-6)
        assert torch.allclose(both[1], base[1], atol=1e-6)

    def test_each_frame_of_a_video_has_its_own(self, pack: Any) -> None:
        model, shape = load_tiny("wan"), (1, 16, 3, 8, 8)
        mask = torch.stack([torch.zeros(8, 8), torch.ones(8, 8), torch.zeros(8, 8)])
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=tiny_cond("wan", 1), weight=3.0, mask=mask)
        (plain,) = pack.run("GCFG_GuidanceTerm", positive=tiny_cond("wan", 1), weight=3.0)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        masked, full, base = (
            guided(pack.run("GCFG_Guider", model=model, conditioning=tiny_cond("wan", 0), terms=t)[0], [x], [0.6])[0]
            for t in (terms, plain, ())
        )
        assert torch.allclose(masked[:, :, 1], full[:, :, 1], atol=1e-5)
        assert torch.allclose(masked[:, :, ::2], base[:, :, ::2], atol=1e-5)
        assert not torch.allclose(full[:, :, ::2], base[:, :, ::2], atol=1e-5)

    @pytest.mark.parametrize("shape", [(1, 64, 64), (33, 77), (2, 8, 8)])
    def test_a_whole_run_is_the_masked_sum_at_every_step(self, pack: Any, model: Any, shape: tuple) -> None:
        mask, latent = random_mask(*shape), micro_latent(0, batch=2)
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=3.0, mask=mask)
        out, _ = pack.run("GCFG_Sampler", model=model, conditioning=micro_cond(0), terms=terms, latent_image=latent,
                          steps=3, seed=0, sampler_name="euler", scheduler="normal")  # fmt: skip

        def predict(x: Tensor, sigma: float) -> Tensor:
            zero = denoised(model, micro_cond(0), x, sigma)
            return zero + 3.0 * fitted(mask, (8, 8)).float() * (denoised(model, micro_cond(1), x, sigma) - zero)

        assert norm_error(out["samples"], euler(model, latent["samples"], predict, 3)) <= 1e-5
