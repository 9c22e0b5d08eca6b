"""Weight curves, windows and sampling progress."""

import math
from typing import Any

import comfy.model_sampling as ms
import comfy.samplers
import comfy.supported_models
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gcfg_core.guidance.curves import Constant, Cosine, Keyframes, Linear, Ramp, parse_keyframes
from gcfg_core.guidance.graph import GuidanceTerm
from gcfg_core.guidance.sampling_progress import SamplingProgress, Window
from rigs.counter import count_forwards
from rigs.micro import UNET, micro_cond, micro_latent, micro_model

POSITIONS = st.floats(0, 1)


class TestClosedForms:
    @pytest.mark.parametrize(
        ("curve", "values"),
        [
            (Constant(), (1, 1, 1)),
            (Linear(0.0), (1, 0.5, 0)),
            (Linear(3.0), (1, 2, 3)),
            (Cosine(0.0), (1, 0.5, 0)),
            (Cosine(-1.0), (1, 0, -1)),
            (Ramp(0.25), (0, 1, 0)),
            (Ramp(0.0), (1, 1, 1)),
            (Keyframes(((0.0, 1.0), (1.0, 0.0))), (1, 0.5, 0)),
            (Keyframes(((0.25, 2.0), (0.75, 4.0))), (2, 3, 4)),
            (Keyframes(((0.5, 7.0),)), (7, 7, 7)),
        ],
    )
    def test_at_start_middle_and_end(self, curve: Any, values: tuple) -> None:
        assert [curve(p) for p in (0.0, 0.5, 1.0)] == pytest.approx(values, abs=1e-12)

    @settings(deadline=None)
    @given(POSITIONS)
    def test_half_cosine(self, p: float) -> None:
        assert Cosine(0.2)(p) == pytest.approx(0.2 + 0.8 * math.cos(math.pi * p / 2) ** 2)

    @settings(deadline=None)
    @given(POSITIONS, st.floats(0.01, 0.5))
    def test_ramp_is_symmetric_and_within_0_and_1(self, p: float, share: float) -> None:
        ramp = Ramp(share)
        assert 0.0 <= ramp(p) <= 1.0
        assert ramp(p) == pytest.approx(ramp(1 - p), abs=1e-6)
        assert ramp(share) == 1.0
        assert ramp(share / 2) == pytest.approx(0.5)

    @settings(deadline=None)
    @given(POSITIONS)
    def test_keyframes_are_straight_lines(self, p: float) -> None:
        points = [(0.1, 1.0), (0.4, -2.0), (0.8, 3.0)]
        assert Keyframes(tuple(points))(p) == pytest.approx(np.interp(p, *zip(*points, strict=True)), abs=1e-9)

    @pytest.mark.parametrize("text", ["0:1, 0.5:2, 1:0", " 0 : 1,0.5:2\n1:0", "0:1,0.5:2,1:0,"])
    def test_keyframes_are_read(self, text: str) -> None:
        assert parse_keyframes(text).points == ((0.0, 1.0), (0.5, 2.0), (1.0, 0.0))


SD15 = comfy.supported_models.SD15(dict(UNET))


def sampling(base: type, kind: type, **settings: float) -> Any:
    class Sampling(base, kind):
        pass

    made = Sampling(SD15)
    if settings:
        made.set_parameters(**settings)
    return made


def ztsnr() -> Any:
    made = sampling(ms.ModelSamplingDiscrete, ms.V_PREDICTION)
    made.set_sigmas(ms.rescale_zero_terminal_snr_sigmas(made.sigmas))
    return made


SCHEDULES = {
    "eps": sampling(ms.ModelSamplingDiscrete, ms.EPS),
    "v": sampling(ms.ModelSamplingDiscrete, ms.V_PREDICTION),
    "ztsnr": ztsnr(),
    "edm": sampling(ms.ModelSamplingContinuousEDM, ms.EPS, sigma_min=0.002, sigma_max=120.0, sigma_data=1.0),
    "flow": sampling(ms.ModelSamplingDiscreteFlow, ms.CONST, shift=3.0),
    "flux": sampling(ms.ModelSamplingFlux, ms.CONST, shift=1.15),
    "cascade": sampling(ms.StableCascadeSampling, ms.EPS),
}


@pytest.mark.parametrize("name", SCHEDULES)
class TestProgress:
    def test_percent_is_the_inverse_of_percent_to_sigma(self, name: str) -> None:
        to_sigma = SCHEDULES[name].percent_to_sigma
        progress = SamplingProgress(to_sigma)
        for percent in np.linspace(0.01, 0.99, 45):
            assert progress.percent(float(to_sigma(percent))) == pytest.approx(percent, abs=2e-6)

    def test_percent_asks_the_host_seldom(self, name: str) -> None:
        """The host's percent_to_sigma takes about 60 us, and a curve needs the percent of every call's sigma."""
        asked: list[float] = []
        progress = SamplingProgress(lambda percent: asked.append(percent) or SCHEDULES[name].percent_to_sigma(percent))
        sigmas = [float(SCHEDULES[name].percent_to_sigma(p)) for p in np.linspace(0.005, 0.995, 50)]
        for sigma in sigmas + sigmas:
            progress.percent(sigma)
        assert len(asked) / len(sigmas) <= 14

    def test_runs_from_0_to_1_on_the_models_own_sigmas(self, name: str) -> None:
        model_sampling = SCHEDULES[name]
        progress = SamplingProgress(model_sampling.percent_to_sigma)
        assert progress.percent(float(model_sampling.sigma_max)) == pytest.approx(0.0, abs=2e-3)
        percents = [progress.percent(float(s)) for s in model_sampling.sigmas.flip(0)]
        assert all(a <= b + 1e-9 for a, b in zip(percents, percents[1:], strict=False))
        assert percents[-1] == pytest.approx(1.0, abs=5e-3)

    def test_window_edges(self, name: str) -> None:
        """Active for end < sigma <= start."""
        to_sigma = SCHEDULES[name].percent_to_sigma
        progress, window = SamplingProgress(to_sigma), Window(0.25, 0.75)
        start, end = float(to_sigma(0.25)), float(to_sigma(0.75))
        assert progress.is_active(window, start)
        assert not progress.is_active(window, math.nextafter(start, math.inf))
        assert progress.is_active(window, math.nextafter(end, math.inf))
        assert not progress.is_active(window, end)

    def test_windows_that_meet_share_no_call_and_leave_none_out(self, name: str) -> None:
        progress = SamplingProgress(SCHEDULES[name].percent_to_sigma)
        windows = [Window(0.0, 0.3), Window(0.3, 0.6), Window(0.6, 1.0)]
        for sigma in [*map(float, SCHEDULES[name].sigmas[::37]), float(SCHEDULES[name].percent_to_sigma(0.3))]:
            assert sum(progress.is_active(window, sigma) for window in windows) == 1

    def test_the_last_sigma_of_the_schedule_is_the_end(self, name: str) -> None:
        """A ramp is exactly 0 there, so that its term is not evaluated for nothing."""
        progress = SamplingProgress(SCHEDULES[name].percent_to_sigma)
        assert progress.percent(float(SCHEDULES[name].sigma_min)) == pytest.approx(1.0, abs=5e-3)
        assert progress.percent(0.0) == 1.0

    def test_start_of_0_and_end_of_1_have_no_edge(self, name: str) -> None:
        progress = SamplingProgress(SCHEDULES[name].percent_to_sigma)
        assert progress.is_active(Window(0.0, 0.5), 1e12)
        assert progress.is_active(Window(0.5, 1.0), 0.0)
        assert progress.is_active(Window(0.99, 1.0), 1e-12)
        assert not progress.is_active(Window(0.5, 0.5), float(SCHEDULES[name].percent_to_sigma(0.5)))


class TestTermWeight:
    def test_curve_runs_over_the_window(self) -> None:
        progress = SamplingProgress(lambda percent: 1.0 - percent)
        term = GuidanceTerm(weight=2.0, window=Window(0.2, 0.6), curve=Linear(0.0))
        found = {p: term.weight_at(1.0 - p, progress) for p in (0.1, 0.2, 0.3, 0.4, 0.59, 0.61, 0.9)}
        assert list(found.values()) == pytest.approx([0, 2, 1.5, 1, 0.05, 0, 0], abs=1e-6)

    def test_a_plain_term_never_asks_for_progress(self) -> None:
        def refuse(percent: float) -> float:
            raise AssertionError("asked")

        assert GuidanceTerm(weight=2.0).weight_at(1.0, SamplingProgress(refuse)) == 2.0


pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times
MULTI_STAGE = ["heun", "heunpp2", "dpm_2", "dpmpp_2s_ancestral", "dpmpp_sde", "res_multistep", "seeds_2", "seeds_3"]


@pytest.mark.parametrize("sampler", MULTI_STAGE)
def test_stages_of_a_step_see_the_weight_of_their_own_sigma(pack: Any, sampler: str) -> None:
    """Every call's weight is the curve at that call's sigma, also between the steps' sigmas."""
    model, latent = micro_model(0), micro_latent(0)
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=4.0, curve="linear", curve_end=0.0,
                        start_percent=0.23, end_percent=0.88)  # fmt: skip
    with count_forwards(model) as n:
        _, trace = pack.run("GCFG_Sampler", model=model, conditioning=micro_cond(0), terms=terms, latent_image=latent,
                            steps=5, sampler_name=sampler, scheduler="normal")  # fmt: skip
    log_sigmas = model.get_model_object("model_sampling").log_sigmas.double().numpy()
    for record in trace.records:
        percent = 1 - np.interp(math.log(record.sigma), log_sigmas, np.arange(1000)) / 999
        expected = 4.0 * (1 - (percent - 0.23) / 0.65) if 0.23 <= percent < 0.88 else 0.0
        assert record.weights[0] == pytest.approx(expected, abs=1e-3), record.sigma
    assert len(trace.records) == n.forwards
    assert sorted(n.of(model).sigmas) == pytest.approx(sorted(record.sigma for record in trace.records))
    steps = comfy.samplers.KSampler(model, 5, torch.device("cpu"), sampler, "normal", 1.0).sigmas
    if sampler in ("dpm_2", "dpmpp_sde", "seeds_2", "seeds_3"):  # the others evaluate at the steps' own sigmas alone
        assert [r.sigma for r in trace.records if (steps - r.sigma).abs().min() > 1e-4 * r.sigma]


def test_percent_ignores_denoise(pack: Any) -> None:
    """With denoise 0.5 sampling starts past percent 0.5: a window that ends there never acts."""
    model = micro_model(0)
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=4.0, end_percent=0.5)
    _, trace = pack.run("GCFG_Sampler", model=model, conditioning=micro_cond(0), terms=terms, steps=6,
                        latent_image=micro_latent(0), denoise=0.5, scheduler="normal")  # fmt: skip
    assert {record.weights for record in trace.records} == {(0.0,)}
    assert trace.evaluations == len(trace.records)


def test_a_window_to_1_includes_the_last_call(pack: Any) -> None:
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=4.0, start_percent=0.7, end_percent=1.0)
    _, trace = pack.run("GCFG_Sampler", model=micro_model(0), conditioning=micro_cond(0), terms=terms, steps=6,
                        latent_image=micro_latent(0), sampler_name="euler", scheduler="normal")  # fmt: skip
    assert trace.records[-1].weights == (4.0,)
    assert trace.records[0].weights == (0.0,)
