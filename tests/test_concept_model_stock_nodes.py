"""ComfyUI's own model nodes act on a null-text concept as on the text-reading network that it stands for."""

import functools
from collections.abc import Callable

import nodes
import pytest
import torch
from torch import Tensor

from rigs.graphs import norm_error
from rigs.null_text import SMALL, sdxl_constants, twin_paths
from rigs.tiny import tiny_latent

NAMES = ("sd15", "sdxl")
STOCK = {
    "ModelSamplingDiscrete": {"sampling": "v_prediction", "zsnr": True},
    "ModelSamplingContinuousEDM": {"sampling": "v_prediction"},
    "RescaleCFG": {},
    "FreeU": {},
    "FreeU_V2": {},
    "HyperTile": {"tile_size": 64, "swap_size": 2, "max_depth": 1},
    "TomePatchModel": {},
    "PerturbedAttentionGuidance": {},
    "SelfAttentionGuidance": {},
    "PatchModelAddDownscale": {"block_number": 3},
    "UNetSelfAttentionMultiply": {"q": 1.5, "k": 1.5},
    "UNetCrossAttentionMultiply": {"q": 1.5, "k": 1.5},
    "APG": {},
    "EasyCache": {"reuse_threshold": 3.0, "start_percent": 0.0},
}
WITHOUT_EFFECT = {(node, name) for node in ("RescaleCFG", "APG", "UNetCrossAttentionMultiply") for name in NAMES}
WITHOUT_EFFECT |= {("TomePatchModel", "sdxl")}
"""Guidance between equals, text layers that do nothing, and a node that acts on the first level alone."""

ALONE = ("ModelSamplingContinuousEDM", "EasyCache")
"""Not for a chain: one overrides another node, the other skips what the others patch."""

STEPS = {"EasyCache": 5}
"""How many steps a node needs to act; 2 where it is not named."""

SIDES = {"HyperTile": 32}
"""How large a latent a node needs to act; 16 where it is not named."""

SIZES = ("height", "width", "crop_h", "crop_w", "target_height", "target_width")


class Twins:
    """A null-text concept and a UNet of the same network with constant cross-attention, under two prompts.

    Whatever is done to both, they give the same image.
    """

    def __init__(self, pack, paths, load, width):
        self.pack, self.models = pack, [load(path) for path in paths]
        pooled, ids = sdxl_constants()
        extra = {"pooled_output": pooled, **dict(zip(SIZES, ids[0].tolist(), strict=True))}
        self.positive, self.negative = ([[torch.full((1, 7, width), value), extra]] for value in (0.3, -0.7))

    def images(self, change: Callable, steps: int = 2, side: int = 32) -> list[Tensor]:
        """What KSampler makes of both after ``change(model)``; patches that choose at random choose alike."""
        out = []
        for model in self.models:
            torch.manual_seed(0)
            out += self.pack.run(
                "KSampler", model=change(model), positive=self.positive, negative=self.negative,
                latent_image=tiny_latent("sd15", size=side), steps=steps, cfg=4.0, seed=1, sampler_name="euler",
                scheduler="normal", denoise=1.0,
            )  # fmt: skip
        return [latent["samples"] for latent in out]

    @functools.cache  # noqa: B019
    def plain(self, steps: int, side: int) -> Tensor:
        """The concept's image without any node."""
        return self.images(lambda model: model, steps, side)[0]


@pytest.fixture(scope="module")
def twins(pack, load_concept, tmp_path_factory):
    def made(name):
        paths = twin_paths(tmp_path_factory.mktemp(name), SMALL[name])
        return Twins(pack, paths, load_concept, SMALL[name]["cross_attention_dim"])

    return {name: made(name) for name in NAMES}


@pytest.mark.parametrize("node", list(STOCK))
@pytest.mark.parametrize("name", NAMES)
def test_stock_model_nodes_act_on_it_as_on_its_twin(pack, twins, name, node):
    if node not in nodes.NODE_CLASS_MAPPINGS:
        pytest.skip(f"this ComfyUI has no {node}")
    steps, side = STEPS.get(node, 2), SIDES.get(node, 16)
    ours, expected = twins[name].images(lambda model: pack.run(node, model=model, **STOCK[node])[0], steps, side)
    assert norm_error(ours, expected) <= 1e-5
    assert (norm_error(ours, twins[name].plain(steps, side)) <= 1e-5) == ((node, name) in WITHOUT_EFFECT)


def test_all_of_them_in_one_chain(pack, twins):
    def chain(model):
        for node, options in STOCK.items():
            if node not in ALONE and node in nodes.NODE_CLASS_MAPPINGS:
                model = pack.run(node, model=model, **options)[0]
        return model

    ours, expected = twins["sd15"].images(chain)
    assert norm_error(ours, expected) <= 1e-5
