"""A sweep while it runs: progress over the whole grid, previews of it, and what an interrupt keeps."""

from typing import Any

import comfy.cli_args
import comfy.model_management
import numpy as np
import pytest
import torch
from torch import Tensor

from rigs.endings import interrupt
from rigs.progress import cancel_at, progress_hook
from rigs.sweeps import STEPS, WEIGHTS, Graph, place, same

INTERRUPTED = comfy.model_management.InterruptProcessingException
pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times


class TestProgress:
    def test_goes_over_the_whole_grid(self, pack: Any) -> None:
        events: list[tuple[int, int]] = []
        with progress_hook(lambda value, total, *rest, **named: events.append((value, total))):
            Graph(pack).sweep(*WEIGHTS)
        assert events[:-1] == [(step + 1, 6 * STEPS) for step in range(6 * STEPS)]
        assert events[-1] == events[-2]  # the finished grid

    def test_previews_show_the_grid_so_far(self, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        method = comfy.cli_args.LatentPreviewMethod.Latent2RGB
        monkeypatch.setattr(comfy.cli_args.args, "preview_method", method)
        shown: list[Any] = []
        with progress_hook(lambda value, total, preview=None, *rest, **named: shown.append(preview)):
            grid, _ = Graph(pack).sweep(*WEIGHTS)
        kind, first, most = shown[0]
        side = first.width // 3
        assert kind == "JPEG" and first.size == (3 * side, 2 * side) and max(first.size) <= most
        box = [(k % 3 * side, k // 3 * side, (k % 3 + 1) * side, (k // 3 + 1) * side) for k in range(6)]
        for k in range(6):
            after = shown[(k + 1) * STEPS - 1][1]
            empty = [after.crop(box[j]).getbbox() is None for j in range(6)]
            assert empty == [False] * (k + 1) + [True] * (5 - k)
            assert after.crop(box[0]).tobytes() == shown[STEPS - 1][1].crop(box[0]).tobytes()
        finished = shown[-1][1]
        assert finished.size == (grid.shape[2], grid.shape[1]) and shown[-1][2] is None
        assert np.array_equal(np.asarray(finished), (grid[0] * 255).round().byte().numpy())

    def test_the_finished_grid_is_shown_without_previews(self, pack: Any) -> None:
        """In a size that can be sent."""
        shown: list[Any] = []
        with progress_hook(lambda value, total, preview=None, *rest, **named: shown.append(preview)):
            Graph(pack).sweep(*WEIGHTS, size=1024)
        assert shown[:-1] == [None] * 6 * STEPS and max(shown[-1][1].size) == 2048


class TestInterrupt:
    @pytest.mark.parametrize(("step", "done"), [(STEPS + 1, 1), (2 * STEPS, 1), (4 * STEPS + 2, 4)])
    def test_keeps_what_is_done(self, pack: Any, step: int, done: int) -> None:
        graph = Graph(pack)
        whole, pictures = graph.sweep(*WEIGHTS, size=128, theme="light")
        graph.vae.seen.clear()
        with progress_hook(cancel_at(step)):
            part, kept = graph.sweep(*WEIGHTS, size=128, theme="light")
        assert same(kept, pictures[:done])
        assert part.shape == whole.shape
        cells = [place(pack, k, 128) for k in range(6)]
        for k, (x, y) in enumerate(cells):
            one, other = (grid[:, y : y + 128, x : x + 128] for grid in (part, whole))
            assert torch.equal(one, other) == (k < done)
            if k >= done:  # the colour of empty places, with a word in it
                assert torch.allclose(one[0, 2, 2], torch.tensor([0xDE, 0xDE, 0xE4]) / 255.0, atol=1e-3)
                assert one.std() > 0.01

    def test_before_the_first_is_done_it_interrupts_as_usual(self, pack: Any) -> None:
        graph = Graph(pack)
        with progress_hook(cancel_at(STEPS)), pytest.raises(INTERRUPTED):
            graph.sweep(*WEIGHTS)
        assert not graph.vae.seen

    def test_while_decoding_it_costs_nothing(self, pack: Any) -> None:
        graph = Graph(pack)
        _, whole = graph.sweep(*WEIGHTS)
        graph.vae.seen.clear()
        graph.vae.at_second = interrupt
        assert same(graph.sweep(*WEIGHTS)[1], whole)

    def test_the_second_one_interrupts_as_usual(self, pack: Any) -> None:
        graph = Graph(pack)
        graph.vae.at_second = interrupt
        with progress_hook(cancel_at(3 * STEPS)), pytest.raises(INTERRUPTED):
            graph.sweep(*WEIGHTS)

    def test_one_that_is_not_found_before_the_end_is_left_to_the_host(self, pack: Any) -> None:
        """Older hosts look for it between nodes only; it costs not the grid, which they keep."""
        graph = Graph(pack)
        real = graph.vae.decode

        def decode(latent: Tensor) -> Tensor:
            picture = real(latent)
            if len(graph.vae.seen) == 6:
                comfy.model_management.interrupt_current_processing()
            return picture

        graph.vae.decode = decode
        with progress_hook(cancel_at(-1)):
            assert len(graph.sweep(*WEIGHTS)[1]) == 6
        with pytest.raises(INTERRUPTED):
            comfy.model_management.throw_exception_if_processing_interrupted()

    def test_leaves_everything_usable(self, pack: Any) -> None:
        graph = Graph(pack)
        before = graph.sampled()
        with progress_hook(cancel_at(STEPS + 2)):
            graph.sweep(*WEIGHTS)
        assert same(graph.sampled(), before)

    def test_other_errors_stay_errors(self, pack: Any) -> None:
        def fail(value: int, *rest: Any, **named: Any) -> None:
            if value == STEPS + 1:
                raise RuntimeError("on purpose")

        with progress_hook(fail), pytest.raises(RuntimeError, match="on purpose"):
            Graph(pack).sweep(*WEIGHTS)
