"""Models that ComfyUI can put on a second device, and its node that spreads a model's conditions over devices.

Everything here needs `rigs.second_device.second_device`.
"""

from collections.abc import Sequence
from typing import Any

import comfy.samplers
import pytest
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from rigs.graphs import SIGMAS, points
from rigs.lora import separate
from rigs.micro import micro_model
from rigs.probe import denoised

needs_multigpu = pytest.mark.skipif(
    not hasattr(comfy.samplers.comfy, "multigpu"), reason="this ComfyUI has no MultiGPU CFG Split"
)
needs_latent_shapes = pytest.mark.skipif(
    not hasattr(micro_model(0).model, "latent_shapes"), reason="this ComfyUI's models keep no latent shapes"
)


class Loader:
    """A loader of micro models that can be loaded again for another device, like those of ComfyUI's loaders.

    Attributes:
        loads: the seeds of all loaded models, first loads and repeated loads.
    """

    def __init__(self) -> None:
        self.loads: list[int] = []

    def load(self, seed: int) -> ModelPatcher:
        self.loads.append(seed)
        model = micro_model(seed)
        model.cached_patcher_init = (self.load, (seed,))
        return model


def split(pack: Any, model: ModelPatcher) -> ModelPatcher:
    """Return the model with a clone on the second device, by ComfyUI's own MultiGPU CFG Split."""
    model = pack.run("MultiGPU_WorkUnits", model=model, max_gpus=2)[0]
    assert len(model.get_additional_models_with_key("multigpu")) == 1
    return model


def away(model: ModelPatcher) -> ModelPatcher:
    """Return the clone of a split model on the second device."""
    return model.get_additional_models_with_key("multigpu")[0]


Term = tuple[ModelPatcher, list, float]


def expected_sum(base: ModelPatcher, null: list, terms: Sequence[Term]) -> list[Tensor]:
    """Return base + sum of weight * (D(model, condition) - base), each prediction made separately, on one device.

    Args:
        terms: model, condition and weight of each; models are copied before they are evaluated.
    """
    out = []
    for x, sigma in zip(points(), SIGMAS, strict=True):
        zero = denoised(separate(base), null, x, sigma).double()
        total = zero.clone()
        for model, cond, weight in terms:
            total += weight * (denoised(separate(model), cond, x, sigma).double() - zero)
        out.append(total.float())
    return out
