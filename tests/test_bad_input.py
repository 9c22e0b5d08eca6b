"""Bad input is refused before any sampling, with a message that names the input and the remedy."""

import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from rigs.by_hand import euler
from rigs.counter import count_forwards
from rigs.graphs import norm_error, points, relative_error
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import denoised, guided
from rigs.tiny import load_tiny, tiny_cond, tiny_latent


@pytest.fixture(scope="module")
def base() -> Any:
    return micro_model(0)


def term(pack: Any, **inputs: Any) -> tuple:
    return pack.run("GCFG_GuidanceTerm", **({"positive": micro_cond(1)} | inputs))[0]


class TestGuidanceTerm:
    def test_window_start_after_end(self, pack: Any) -> None:
        with pytest.raises(ValueError, match=r"start_percent \(0\.8\) is after end_percent \(0\.2\).*swap them"):
            term(pack, start_percent=0.8, end_percent=0.2)

    @pytest.mark.parametrize("window", [(-0.1, 0.5), (0.5, 1.5), (float("nan"), 1.0)])
    def test_window_outside_0_and_1(self, pack: Any, window: tuple) -> None:
        with pytest.raises(ValueError, match="start_percent and end_percent must lie between 0 and 1, got"):
            term(pack, start_percent=window[0], end_percent=window[1])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected at least one 'position:factor' pair"),
            ("0.5", "expected 'position:factor' like '0.5:2', got '0.5'"),
            ("0:1, half:2", "got 'half:2'"),
            ("0:1; 1:0", "got '0:1; 1:0'"),
            ("0:1, 2:0", "positions must lie between 0 and 1"),
            ("nan:1", "positions must lie between 0 and 1"),
            ("0:inf", "factors must be finite"),
            ("0.5:1, 0.2:0", "positions must rise"),
            ("0.5:1, 0.5:0", "positions must rise and be distinct"),
        ],
    )
    def test_keyframes(self, pack: Any, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=f"^keyframes: .*{message}"):
            term(pack, curve="keyframes", keyframes=text)

    def test_keyframes_that_are_not_used_are_not_read(self, pack: Any) -> None:
        assert len(term(pack, curve="constant", keyframes="nonsense")) == 1

    def test_ramp(self, pack: Any) -> None:
        with pytest.raises(ValueError, match="curve_ramp: expected a share of the window from 0 to 0.5, got 0.7"):
            term(pack, curve="ramp", curve_ramp=0.7)

    @pytest.mark.parametrize("shape", [(1, 64, 64, 3), (64,)])
    def test_an_image_as_mask(self, pack: Any, shape: tuple) -> None:
        with pytest.raises(ValueError, match=r"mask: expected \[H, W\] or \[N, H, W\], got .*connect a MASK"):
            term(pack, mask=torch.ones(shape))


class TestModifyTerm:
    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"refresh": 0}, "refresh: expected 1 .* or more, got 0"),
            ({"norm_cap": -1.0}, "norm_cap: expected 0 .* or a positive norm, got -1"),
            ({"projection": "sideways"}, "projection: expected one of off, own positive, .* got 'sideways'"),
        ],
    )
    def test_values(self, pack: Any, inputs: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pack.run("GCFG_ModifyTerm", terms=term(pack), **inputs)

    def test_an_empty_chain(self, pack: Any) -> None:
        with pytest.raises(ValueError, match="terms: the chain is empty.*connect a Guidance Term"):
            pack.run("GCFG_ModifyTerm", terms=())


class TestGraph:
    @pytest.mark.parametrize("node", ["GCFG_Guider", "GCFG_Sampler"])
    @pytest.mark.parametrize(
        ("socket", "kind", "names"),
        [
            ("model", "sdxl", "SDXL"),
            ("reference_model", "sdxl", "SDXL"),
            ("model", "sd3", "SD3"),
            ("model", "wan", "Wan21"),
        ],
    )
    def test_models_of_another_latent_space(
        self, pack: Any, base: Any, node: str, socket: str, kind: str, names: str
    ) -> None:
        terms = term(pack, **{socket: load_tiny(kind)}, label="colours")
        extra = {"latent_image": micro_latent(0)} if node == "GCFG_Sampler" else {}
        with count_forwards(base) as n, pytest.raises(ValueError) as error:
            pack.run(node, model=base, conditioning=micro_cond(0), terms=terms, **extra)
        message = str(error.value)
        for part in ("Guidance Term 'colours'", f"input '{socket}'", names, "SD15", "input 'model'", "connect a model"):
            assert part in message
        assert n.chunks == 0

    def test_the_term_without_a_label_is_named_by_its_number(self, pack: Any, base: Any) -> None:
        terms = term(pack, terms=term(pack), model=load_tiny("sdxl"))
        with pytest.raises(ValueError, match="Guidance Term 2, input 'model'"):
            pack.run("GCFG_Guider", model=base, conditioning=micro_cond(0), terms=terms)

    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_rescale(self, pack: Any, base: Any, share: float) -> None:
        with pytest.raises(ValueError, match=r"rescale: expected a share from 0 \(off\) to 1, got"):
            pack.run("GCFG_Guider", model=base, conditioning=micro_cond(0), rescale=share)

    def test_more_masks_than_fit_the_batch(self, pack: Any, base: Any) -> None:
        terms = term(pack, mask=torch.rand(2, 64, 64))
        with (
            count_forwards(base) as n,
            pytest.raises(ValueError, match="mask: 2 masks do not fit a batch of 3 latents; give one"),
        ):
            pack.run("GCFG_Sampler", model=base, conditioning=micro_cond(0), terms=terms,
                     latent_image=micro_latent(0, batch=3), steps=2)  # fmt: skip
        assert n.chunks == 0

    def test_the_model_is_usable_after_an_error(self, pack: Any, base: Any) -> None:
        inputs = {"model": base, "conditioning": micro_cond(0), "latent_image": micro_latent(0, batch=3), "steps": 2}
        good = term(pack)
        before = pack.run("GCFG_Sampler", **inputs, terms=good)[0]["samples"]
        with pytest.raises(ValueError, match="mask: 2 masks"):
            pack.run("GCFG_Sampler", **inputs, terms=term(pack, mask=torch.rand(2, 8, 8)))
        assert torch.equal(pack.run("GCFG_Sampler", **inputs, terms=good)[0]["samples"], before)


def test_nested_latents(pack: Any, base: Any) -> None:
    module = pytest.importorskip("comfy.nested_tensor", reason="this ComfyUI has no nested latents")
    parts = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)]
    nested = {"samples": module.NestedTensor(parts)}
    with (
        count_forwards(base) as n,
        pytest.raises(ValueError, match="latent_image: nested latents .* use a latent of one"),
    ):
        pack.run("GCFG_Sampler", model=base, conditioning=micro_cond(0), terms=term(pack), latent_image=nested, steps=2)
    assert n.chunks == 0


class TestMixedTime:
    """eps and flow models are not refused but converted, and the log says so."""

    def test_a_flow_term_on_an_eps_base(self, pack: Any, base: Any, caplog: pytest.LogCaptureFixture) -> None:
        (flow,) = pack.run("ModelSamplingSD3", model=micro_model(1), shift=3.0)
        with caplog.at_level(logging.INFO):
            (guider, _) = pack.run("GCFG_Guider", model=base, conditioning=micro_cond(0),
                                   terms=term(pack, model=flow, weight=2.0, label="rectified"))  # fmt: skip
        assert "rectified is evaluated at the flow time that matches sigma" in caplog.text
        xs, sigmas = points((9.0, 0.5)), (9.0, 0.5)
        with count_forwards(flow) as n:
            found = guided(guider, xs, sigmas)
        assert n.of(flow).sigmas == pytest.approx([9 / 10, 0.5 / 1.5])
        for x, sigma, result in zip(xs, sigmas, found, strict=True):
            zero = denoised(base, micro_cond(0), x, sigma)
            side = denoised(flow, micro_cond(1), x / (1 + sigma), sigma / (1 + sigma))
            assert relative_error([result], [zero + 2.0 * (side - zero)]) <= 1e-5

    def test_an_eps_term_on_a_flow_base(self, pack: Any, base: Any, caplog: pytest.LogCaptureFixture) -> None:
        (flow,) = pack.run("ModelSamplingSD3", model=micro_model(1), shift=3.0)
        with caplog.at_level(logging.INFO):
            pack.run("GCFG_Guider", model=flow, conditioning=micro_cond(0), terms=term(pack, model=base, label="old"))
        assert "old is evaluated at the VE time that matches sigma" in caplog.text

    def test_models_of_one_kind_say_nothing(self, pack: Any, base: Any, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            pack.run("GCFG_Guider", model=base, conditioning=micro_cond(0), terms=term(pack, model=micro_model(1, "v")))
        assert "is evaluated at" not in caplog.text

    def test_a_base_that_starts_beyond_the_terms_model(
        self, pack: Any, base: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        (zero_snr,) = pack.run("ModelSamplingDiscrete", model=micro_model(1), sampling="v_prediction", zsnr=True)
        largest = float(base.get_model_object("model_sampling").sigma_max)
        with caplog.at_level(logging.INFO):
            (guider, _) = pack.run("GCFG_Guider", model=zero_snr, conditioning=micro_cond(0),
                                   terms=term(pack, model=base, positive=micro_cond(1), weight=2.0))  # fmt: skip
        assert f"asked at its own largest sigma, {largest:.4g}" in caplog.text
        xs = [torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * s for s in (4000.0, 3.0)]
        with count_forwards(base) as n:
            found = guided(guider, xs, [4000.0, 3.0])
        assert n.of(base).sigmas == pytest.approx([largest, 3.0])
        for x, sigma, result in zip(xs, (4000.0, 3.0), found, strict=True):
            zero = denoised(zero_snr, micro_cond(0), x, sigma)
            held = min(sigma, largest)
            side = denoised(base, micro_cond(1), x * (held / sigma), held)
            assert relative_error([result], [zero + 2.0 * (side - zero)]) <= 1e-5


@pytest.mark.parametrize("kind", ["sd3", "wan"])
def test_flow_and_video_bases_take_terms_of_their_own_kind(pack: Any, kind: str) -> None:
    models, conds = [load_tiny(kind, seed) for seed in range(2)], [tiny_cond(kind, seed) for seed in range(2)]
    latent = tiny_latent(kind, size=8)
    out, _ = pack.run("GCFG_Sampler", model=models[0], conditioning=conds[0], latent_image=latent, steps=2, seed=0,
                      terms=term(pack, model=models[1], positive=conds[1], weight=2.0), sampler_name="euler",
                      scheduler="simple")  # fmt: skip

    def predict(x: Tensor, sigma: float) -> Tensor:
        zero, side = (denoised(model, cond, x, sigma) for model, cond in zip(models, conds, strict=True))
        return zero + 2.0 * (side - zero)

    assert norm_error(out["samples"], euler(models[0], latent["samples"], predict, 2, "simple")) <= 1e-5
