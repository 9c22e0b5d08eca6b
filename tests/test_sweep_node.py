"""GCFG Sweep: every picture is GCFG Sampler's, models are loaded once, and what is wrong is said before it runs."""

import itertools
from typing import Any

import comfy.cli_args
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.utils
import pytest
import torch
from torch import Tensor

from rigs.checkpoints import tiny_vae
from rigs.counter import count_forwards
from rigs.lora import with_lora
from rigs.micro import micro_latent
from rigs.sweeps import STEPS, WEIGHTS, Graph, place, same
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times


def values(axis: tuple[str, str, str]) -> list[tuple[str, str, float]]:
    """An axis of listed numbers as the changes that it stands for."""
    parameter, term, text = axis
    number = int if parameter == "seed" else float
    return [(parameter, term, number(part)) for part in text.split(",")]


class TestEqualsTheSampler:
    @pytest.mark.parametrize(
        ("columns", "rows"),
        [
            (("weight", "control", "0, 2.5"), ("weight", "concept", "0, 1, -1.5")),
            (("end_percent", "concept", "0.7, 0.9"), ("start_percent", "concept", "0, 0.3")),
            (("curve_end", "control", "-1, 0.8"), ("seed", "", "3, 9007199254740993")),
            (("curve_ramp", "concept", "0, 0.5"), ("rescale", "", "0, 0.7")),
        ],
    )
    def test_every_latent_to_the_bit(self, pack: Any, columns: tuple, rows: tuple) -> None:
        graph = Graph(pack)
        _, images = graph.sweep(columns, rows)
        cells = list(itertools.product(values(rows), values(columns)))
        expected = [graph.sampled(*changes) for changes in cells]
        assert len(graph.vae.seen) == len(cells)
        assert all(same(*pair) for pair in zip(graph.vae.seen, expected, strict=True))
        decoded = [pack.run("VAEDecode", samples={"samples": latent}, vae=graph.vae)[0] for latent in expected]
        assert same(images, torch.cat(decoded))
        assert not any(torch.equal(*pair) for pair in itertools.combinations(expected, 2)), "the axes change nothing"

    def test_one_axis(self, pack: Any) -> None:
        graph, axis = Graph(pack), ("seed", "", "1, 2, 3")
        graph.sweep(axis)
        assert all(same(*p) for p in zip(graph.vae.seen, [graph.sampled(v) for v in values(axis)], strict=True))

    def test_without_terms(self, pack: Any) -> None:
        graph, axis = Graph(pack), ("seed", "", "8, 9")
        graph.sweep(axis, terms=())
        graph.terms = {}
        assert all(same(*p) for p in zip(graph.vae.seen, [graph.sampled(v) for v in values(axis)], strict=True))

    def test_batches_and_noise_masks(self, pack: Any) -> None:
        """One grid for each picture of the batch; its other entries count as for the sampler."""
        mask = torch.zeros(1, 1, 64, 64)
        mask[..., :32] = 1.0
        latent = micro_latent(0, batch=2) | {"noise_mask": mask, "batch_index": [4, 1]}
        graph, axis = Graph(pack, latent_image=latent, denoise=0.7), ("weight", "control", "1, 4")
        grid, images = graph.sweep(axis, theme="light")
        assert all(same(*p) for p in zip(graph.vae.seen, [graph.sampled(v) for v in values(axis)], strict=True))
        assert grid.shape[0] == 2 and images.shape[0] == 4
        assert not torch.equal(grid[0], grid[1])

    def test_videos(self, pack: Any) -> None:
        """One grid for each frame."""
        vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(tiny_vae("wan"))))
        latent, model = tiny_latent("wan", size=4), load_tiny("wan")
        shared = {"model": model, "conditioning": tiny_cond("wan", 2), "latent_image": latent, "steps": 2}
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=tiny_cond("wan", 1))
        (axis,) = pack.run("GCFG_SweepAxis", values="1, 4")
        grid, images = pack.run("GCFG_Sweep", vae=vae, columns=axis, terms=terms, **shared)
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=tiny_cond("wan", 1), weight=4.0)
        sampled, _ = pack.run("GCFG_Sampler", terms=terms, **shared)
        (frames,) = pack.run("VAEDecode", samples=sampled, vae=vae)
        assert len(grid) == len(frames) > 1 and len(images) == 2 * len(frames)
        assert same(images[len(frames) :], frames)

    def test_nothing_to_sample(self, pack: Any) -> None:
        graph = Graph(pack, denoise=0.0)
        graph.sweep(("weight", "control", "1, 4"))
        assert all(same(latent, micro_latent(0)["samples"]) for latent in graph.vae.seen)


class TestModels:
    def test_are_loaded_once(self, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """As many weights are put on the device for six pictures as for one, and nothing else is loaded between."""
        patch, load = comfy.model_patcher.ModelPatcher.patch_weight_to_device, comfy.model_management.load_models_gpu
        put: list[str] = []
        loads: list[list[Any]] = []

        def noted_patch(self: Any, key: str, *args: Any, **kwargs: Any) -> Any:
            put.append(key)
            return patch(self, key, *args, **kwargs)

        def noted_load(models: Any, *args: Any, **kwargs: Any) -> Any:
            loads.append([getattr(one, "model", None) for one in models])
            return load(models, *args, **kwargs)

        monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "patch_weight_to_device", noted_patch)
        monkeypatch.setattr(comfy.model_management, "load_models_gpu", noted_load)
        counts = []
        for axes in ([("weight", "control", "1.5")], WEIGHTS):
            graph = Graph(pack)
            graph.base = with_lora(graph.base)  # patches, so that putting weights in place is work
            put.clear()
            loads.clear()
            graph.sweep(*axes, model=graph.base)
            counts.append(len(put))
            own = graph.vae.patcher.model
            decoding = [own in models for models in loads]
            assert decoding.index(True) == len(loads) - sum(decoding), "decoded between two pictures"
            comfy.model_management.unload_all_models()
        assert counts[0] == counts[1] > 0

    def test_the_cost_is_told_before_and_is_what_it_takes(self, pack: Any) -> None:
        graph = Graph(pack, sampler_name="euler")
        with count_forwards(graph.base, graph.other) as counter:
            (text,) = pack.ui("GCFG_Sweep", **graph.arguments(*WEIGHTS))["text"]
        formula, cost = text.split("\n")
        assert formula.startswith("D = base(null) + ?{ramp @ 10%-80%} * (concept(null) - base(null)) + ?{linear}")
        assert cost == f"6 pictures, {counter.chunks} evaluations in all, 2 models"
        assert counter.chunks < 6 * 3 * STEPS  # weights of 0 are saved

    def test_notes_are_logged_once(self, pack: Any, caplog: pytest.LogCaptureFixture) -> None:
        graph = Graph(pack)
        graph.terms["concept"]["model"] = pack.run("RescaleCFG", model=graph.other, multiplier=0.5)[0]
        graph.sweep(*WEIGHTS)
        assert sum("not applied on concept" in record.getMessage() for record in caplog.records) == 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("columns", "rows", "said"),
        [
            (("weight", "contrl", "1, 2"), None, "columns: Sweep Axis, term: expected .*1 \\(concept\\), 2 \\(control"),
            (("weight", "control", "1, 2"), ("weight", "2", "3"), "rows: They change the same"),
            (("seed", "", "1:20:20"), ("rescale", "", "0:1:20"), "columns and rows: expected at most 256 pictures"),
            (("start_percent", "concept", "0, 0.9"), None, "window of concept would end before it begins"),
            (("curve_end", "concept", "0, 0.9"), None, "parameter curve_end: expected a term whose curve is linear"),
        ],
    )
    def test_before_anything_is_sampled(self, pack: Any, columns: tuple, rows: tuple | None, said: str) -> None:
        graph = Graph(pack)
        with count_forwards(graph.base, graph.other) as counter, pytest.raises(ValueError, match=said):
            graph.sweep(columns, rows)
        assert counter.forwards == 0

    def test_a_model_of_another_latent_space(self, pack: Any) -> None:
        graph = Graph(pack)
        graph.terms["concept"]["model"] = load_tiny("sdxl")
        with count_forwards(graph.base) as counter, pytest.raises(ValueError, match="does not share its latents"):
            graph.sweep(*WEIGHTS)
        assert counter.forwards == 0

    @pytest.mark.parametrize(
        ("parameter", "text", "said"),
        [
            ("weight", "1, 101", "values: weight: expected a number from -100 to 100, got 101.0. Change that value."),
            ("start_percent", "-0.1", "values: start_percent: expected a number from 0 to 1"),
            ("curve_ramp", "0.6", "values: curve_ramp: expected a number from 0 to 0.5"),
            ("rescale", "2", "values: rescale: expected a number from 0 to 1"),
            ("seed", "1, 1.5", "values: seed: expected a whole number, got 1.5"),
            ("seed", "18446744073709551616", "values: seed: expected a number from 0 to"),
            ("seed", "-1", "values: seed: expected a number from 0 to"),
            ("weight", "", "values: There are none"),
        ],
    )
    def test_values_that_the_widget_would_not_take(self, pack: Any, parameter: str, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            pack.run("GCFG_SweepAxis", parameter=parameter, values=text)

    def test_seeds_stay_whole(self, pack: Any) -> None:
        (axis,) = pack.run("GCFG_SweepAxis", parameter="seed", values="18446744073709551615, 0:4:3")
        assert axis.values == (2**64 - 1, 0, 2, 4) and all(type(value) is int for value in axis.values)


def test_every_size_of_picture_fits_the_grid(pack: Any) -> None:
    """What the node draws is what it decoded, brought to the asked size."""
    graph = Graph(pack, latent_image=micro_latent(0, size=8))
    grid, images = graph.sweep(*WEIGHTS, size=200)
    assert images.shape[1:] == (64, 64, 3)
    x, y = place(pack, 5, 200)
    enlarged: Tensor = images[5].repeat_interleave(3, 0).repeat_interleave(3, 1)
    assert torch.equal(grid[0, y : y + 192, x : x + 192], enlarged)
