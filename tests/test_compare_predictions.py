"""Compare Predictions: what preview_at keeps, when, and the strip of pictures that it becomes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.model_management
import folder_paths
import pytest
import torch
from matplotlib.text import Text
from torch import Tensor

from rigs.graphs import SIGMAS, gcfg, points
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided, sampled
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)
TERMS = (
    {"positive": C, "weight": 3.0, "label": "control"},
    {"model": micro_model(5), "weight": 2.0, "label": "concept"},
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> Iterator[Path]:
    """A temp folder of this test's own."""
    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_temp_directory(before)


class Decoder:
    """A VAE that gives latents as pictures: [B, C, ..., h, w] as [B, ..., h * 8, w * 8, 3]."""

    def decode(self, latent: Tensor) -> Tensor:
        pixels = latent[:, :3].movedim(1, -1)
        return pixels.repeat_interleave(8, -3).repeat_interleave(8, -2)


class TestKeeping:
    def test_the_predictions_and_what_they_became(self, pack: Any) -> None:
        """As a VAE takes them: each is ComfyUI's own prediction, unscaled; of the batch the first."""
        base, other = micro_model(0), micro_model(5)
        terms = {"positive": C, "weight": 3.0, "label": "control"}, {"model": other, "weight": 2.0, "label": "concept"}
        guider = gcfg(pack, base, U, *terms, preview_at=0.2)
        results = guided(guider, points(batch=3), SIGMAS)
        kept, k = guider.trace.kept, 1
        assert kept.sigma == SIGMAS[k] and kept.progress == guider.trace.records[k].progress >= 0.2
        assert list(kept.latents) == ["base(null)", "base(control)", "concept(null)", "result"]
        x, s, unscaled = points(batch=3)[k], SIGMAS[k], base.model.process_latent_out
        for name, expected in (
            ("base(null)", denoised(base, U, x, s)),
            ("base(control)", denoised(base, C, x, s)),
            ("concept(null)", denoised(other, U, x, s)),
            ("result", results[k]),
        ):
            latent = kept.latents[name]
            assert latent.shape == (1, 4, 8, 8) and latent.device.type == "cpu"
            torch.testing.assert_close(latent, unscaled(expected[:1]), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(("preview_at", "call"), [(0.001, 0), (0.2, 1), (0.7, 2), (1.0, 2)])
    def test_the_first_call_at_or_after_the_share_else_the_last(self, pack: Any, preview_at: float, call: int) -> None:
        guider = gcfg(pack, micro_model(0), U, *TERMS, preview_at=preview_at)
        guided(guider, points(), SIGMAS)
        assert guider.trace.kept.sigma == pytest.approx(SIGMAS[call])

    @pytest.mark.parametrize("sampler", ["dpm_fast", "dpm_adaptive", "uni_pc", "euler"])
    def test_the_end_of_sampling_keeps_something_with_every_sampler(self, pack: Any, sampler: str) -> None:
        """Some choose their own noise levels and never call at the last of the given levels."""
        guider = gcfg(pack, micro_model(0), U, *TERMS, preview_at=1.0)
        sampled(guider, torch.zeros(1, 4, 8, 8), sampler=sampler)
        last = guider.trace.records[-1]
        assert guider.trace.kept.sigma <= max(record.sigma for record in guider.trace.records)
        assert guider.trace.kept.progress == last.progress or sampler == "dpm_adaptive"

    def test_the_last_call_where_none_comes_to_the_share(self, pack: Any) -> None:
        module, progress = (
            pack.module("nodes.sampling.kept_predictions"),
            pack.module("gcfg_core.guidance.sampling_progress"),
        )
        plan = gcfg(pack, micro_model(0), U, *TERMS).plan
        keeper = module.PredictionKeeper(1.0)
        keeper.begin(torch.tensor([10.0, 1.0, 0.0]), progress.SamplingProgress(lambda percent: 10.0 * (1.0 - percent)))
        for sigma in (10.0, 3.0):
            assert not keeper.wants(torch.tensor([sigma]))
            keeper.hold(plan, {0: torch.full((2, 4, 8, 8), sigma)}, torch.zeros(2, 4, 8, 8), torch.tensor([sigma] * 2))
        kept = keeper.keep(micro_model(0).model)
        assert kept.sigma == 3.0 and kept.latents["result"].shape == (1, 4, 8, 8) and keeper.keep(None) is None

    def test_off_by_default(self, pack: Any) -> None:
        guider = gcfg(pack, micro_model(0), U, *TERMS)
        guided(guider, points(), SIGMAS)
        assert guider.trace.kept is None

    def test_a_new_run_keeps_its_own(self, pack: Any) -> None:
        guider = gcfg(pack, micro_model(0), U, *TERMS, preview_at=0.2)
        guided(guider, points(), SIGMAS)
        first = guider.trace.kept
        guided(guider, [2.0 * x for x in points()], SIGMAS)
        assert guider.trace.kept is not first
        guider.preview_at = 0.0
        guided(guider, points(), SIGMAS)
        assert guider.trace.kept is None

    def test_only_what_was_evaluated(self, pack: Any) -> None:
        """At weight 1 the base has no part in the result."""
        guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 1.0, "label": "control"}, preview_at=0.5)
        guided(guider, points(), SIGMAS)
        assert list(guider.trace.kept.latents) == ["base(control)", "result"]
        assert [record.evaluations for record in guider.trace.records] == [(1,)] * 3

    @pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
    def test_it_changes_no_bit_and_costs_no_evaluation(self, pack: Any, sampler: str) -> None:
        runs = []
        for preview_at in (0.0, 0.5):
            guider = gcfg(pack, micro_model(0), U, *TERMS, preview_at=preview_at)
            runs.append((sampled(guider, torch.zeros(2, 4, 8, 8), sampler=sampler), guider.trace.evaluations))
        assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1]

    def test_the_sampler_node_keeps_them_too(self, pack: Any) -> None:
        latent = {"samples": torch.zeros(1, 4, 8, 8)}
        job = {"model": micro_model(0), "conditioning": U, "latent_image": latent, "steps": 3}
        assert pack.run("GCFG_Sampler", **job)[1].kept is None
        assert list(pack.run("GCFG_Sampler", **job, preview_at=0.5)[1].kept.latents) == ["base(null)", "result"]

    def test_nothing_on_the_device_is_kept(self, pack: Any) -> None:
        """The trace outlives the run, so it must not hold a model or what lies on its device."""
        guider = gcfg(pack, micro_model(0), U, *TERMS, preview_at=0.5)
        guided(guider, points(), SIGMAS)
        held = vars(guider.trace)
        assert set(held) == {"formula", "terms", "models", "records", "kept", "runs", "_pending"}
        assert not held["_pending"]


class TestStrip:
    def test_every_prediction_at_its_place(self, pack: Any) -> None:
        """Pictures are drawn pixel for pixel, in order, with their names above."""
        drawing = pack.module("nodes.drawing.library").drawing
        colors = {"base(null)": (1.0, 0.0, 0.0), "concept(null)": (0.0, 1.0, 0.0), "result": (0.0, 0.0, 1.0)}
        pictures = {name: torch.tensor(color).expand(40, 80, 3) for name, color in colors.items()}
        strip = drawing("strip")
        sheet = strip.draw_strip("Title", pictures, 160, drawing("theme").LIGHT)
        picture, grid = sheet.pixels()[0], strip.Grid(3, 160, 80)
        assert (picture.shape[1], picture.shape[0]) == grid.size
        for k, color in enumerate(colors.values()):
            x, y = grid.corner(k)
            expected = torch.tensor(color).expand(80, 160, 3)
            assert torch.equal(picture[y : y + 80, x : x + 160], expected)
        assert [text.get_text() for text in sheet.figure.findobj(Text)] == ["Title", *colors]

    @pytest.mark.parametrize("count", [1, 2, 6, 7, 10, 13])
    @pytest.mark.parametrize("size", [(64, 64), (40, 320), (320, 40)])
    def test_nothing_is_cut_off(self, pack: Any, count: int, size: tuple[int, int]) -> None:
        drawing = pack.module("nodes.drawing.library").drawing
        pictures = {f"a rather long name of a model {k}(and of its prompt)": torch.rand(*size, 3) for k in range(count)}
        sheet = drawing("strip").draw_strip("Predictions at 50% of sampling, σ 1.23", pictures, 128,
                                            drawing("theme").DARK)  # fmt: skip
        sheet.pixels()
        width, height = sheet.figure.bbox.size
        boxes = [text.get_window_extent() for text in sheet.figure.findobj(Text) if text.get_text()]
        assert len(boxes) == count + 1
        for one in boxes:
            assert one.x0 >= 0 and one.y0 >= 0 and one.x1 <= width and one.y1 <= height
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])

    @pytest.mark.parametrize("side", [16, 64, 100])
    def test_scaled_pictures_keep_their_colours(self, pack: Any, side: int) -> None:
        scale = pack.module("nodes.drawing.strip").scale_picture
        scaled = scale(torch.full((32, 16, 3), 0.25), side)
        assert scaled.shape == (side, side // 2, 3) and torch.allclose(scaled, torch.tensor(0.25))

    def test_small_pictures_become_squares(self, pack: Any) -> None:
        scale = pack.module("nodes.drawing.strip").scale_picture
        picture = torch.rand(4, 4, 3)
        assert torch.equal(scale(picture, 12), picture.repeat_interleave(3, 0).repeat_interleave(3, 1))


class TestNode:
    def test_from_sampling_to_the_strip(self, pack: Any, folders: Path) -> None:
        guider = gcfg(pack, micro_model(0), U, *TERMS, preview_at=0.5)
        guided(guider, points(), SIGMAS)
        job = {"trace": guider.trace, "vae": Decoder(), "size": 96}
        (strip,) = pack.run("GCFG_ComparePredictions", **job)
        assert (strip.shape[2], strip.shape[1]) == pack.module("nodes.drawing.strip").Grid(4, 96, 96).size
        (image,) = pack.ui("GCFG_ComparePredictions", **job)["images"]
        assert (folders / image["subfolder"] / image["filename"]).is_file()

    def test_of_a_video_the_middle_frame(self, pack: Any) -> None:
        middle = pack.module("nodes.compare_predictions")._picture
        video = torch.arange(5.0).view(1, 5, 1, 1, 1).expand(1, 5, 4, 6, 3)
        assert torch.equal(middle(video), torch.full((4, 6, 3), 2.0))

    @pytest.mark.parametrize("kind", ["sd15", "sd3", "wan"])
    def test_every_latent_space(self, pack: Any, kind: str) -> None:
        model, latent = load_tiny(kind), tiny_latent(kind, size=8)
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=tiny_cond(kind, 1), weight=3.0)
        job = {"model": model, "conditioning": tiny_cond(kind, 2), "terms": terms, "latent_image": latent}
        _, trace = pack.run("GCFG_Sampler", **job, steps=2, sampler_name="euler", scheduler="simple", preview_at=0.5)
        shape = latent["samples"].shape
        assert {tuple(one.shape) for one in trace.kept.latents.values()} == {(1, *shape[1:])}
        comfy.model_management.unload_all_models()
        pack.run("GCFG_ComparePredictions", trace=trace, vae=Decoder())

    def test_where_nothing_was_kept_it_says_how(self, pack: Any) -> None:
        guider = gcfg(pack, micro_model(0), U, *TERMS)
        guided(guider, points(), SIGMAS)
        (notice,) = pack.run("GCFG_ComparePredictions", trace=guider.trace, vae=Decoder())
        assert notice.shape[2:] == (1000, 3) and float(notice.std()) > 0.0
        assert "preview_at" in " ".join(pack.module("nodes.compare_predictions").NOT_KEPT)
