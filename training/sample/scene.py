"""A scene: base, concept and prompt, ready to sample pictures under any weights."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from gcfg_core.errors import InputError
from gcfg_core.guidance.graph import GuidanceGraph

from ..base.model import NAME_TOKENIZER, Base, Condition
from ..console.progress_bar import Progress
from .denoiser import Denoiser
from .guided import GuidedPrediction, paper_graph
from .sampler import Sampler, picture_noise, sample

Weights = tuple[float, float]
"""(w_concept, w_control)."""


@dataclass(frozen=True)
class Sampling:
    """Sampling settings.

    Attributes:
        seed: picture i of a seed starts from the same noise under all weights.
        steps, sampler: as in `training.sample.sampler.solver`.
        size: width and height in pixels.
        batch: pictures sampled at once; affects only memory and time.
    """

    seed: int = 0
    steps: int = 25
    sampler: Sampler = "dpm++"
    size: int = 512
    batch: int = 4


@dataclass(eq=False)
class Scene:
    """The models and conditions to mix: base + w_concept * (concept - base) + w_control * (base(prompt) - base).

    Attributes:
        base: supplies the codec.
        base_model, concept: the models, on their devices.
        null: the base condition: an encoded negative prompt, or the empty prompt's.
        control: the prompt's condition; None: no control term, and its weight is ignored.
    """

    base: Base
    base_model: Denoiser
    concept: Denoiser | None
    null: Condition
    control: Condition | None = None

    def graph(self, weights: Weights) -> GuidanceGraph:
        return paper_graph(self.base_model, self.null, self.concept, self.control, *weights)

    def pictures(
        self, weights: Weights, count: int, sampling: Sampling, first: int = 0,
        progress: Progress | None = None,
    ) -> list[Image.Image]:  # fmt: skip
        """Sample pictures ``first`` to ``first + count`` of a seed.

        Args:
            weights: (w_concept, w_control).
            progress: called with (steps done, steps of all batches).

        Raises:
            InputError: the size is not a multiple of `Base.side_step`.
        """
        shape = latent_shape(self.base, sampling.size)
        made: list[Image.Image] = []
        batches = [min(sampling.batch, count - start) for start in range(0, count, sampling.batch)]
        for number, amount in enumerate(batches):
            noise = picture_noise(amount, shape, sampling.seed, first + len(made)).to(self.base_model.device)
            predict = GuidedPrediction(self.graph(weights))
            shown = None if progress is None else _shifted(progress, number, len(batches))
            latents = sample(predict, self.base_model.schedule, noise, sampling.steps, sampling.sampler, shown)
            made += to_images(self.base.codec.decode(latents))
        return made


def _shifted(progress: Progress, batch: int, batches: int) -> Progress:
    return lambda done, steps: progress(batch * steps + done, batches * steps)


def prompt_condition(base: Base, prompt: str) -> Condition:
    """Encode a prompt, with the empty prompt's size ids (SDXL).

    Raises:
        InputError: the base has no text encoder.
    """
    if base.text is None:
        raise InputError("prompt", "a base with tokenizer and text encoder", "a base without",
                         f"{NAME_TOKENIZER}, or leave the prompt out.")  # fmt: skip
    with torch.no_grad():
        encoded = base.text.encode([prompt])
    return Condition(encoded.hidden_states, encoded.pooled, base.null.time_ids)


def make_scene(
    base: Base, base_model: Denoiser, concept: Denoiser | None, prompt: str | None = None, negative: str | None = None
) -> Scene:
    """Build a scene from texts; without a prompt there is no control term.

    Raises:
        InputError: a text is given but the base has no text encoder.
    """
    control = None if prompt is None else prompt_condition(base, prompt)
    null = prompt_condition(base, negative) if negative else base.null
    return Scene(base, base_model, concept, null, control)


def fitting_side(base: Base, pixels: int) -> int:
    """Return the largest allowed side up to ``pixels``; at least `Base.side_step`."""
    return max(1, pixels // base.side_step) * base.side_step


def latent_shape(base: Base, size: int) -> tuple[int, int, int]:
    """Return [C, h, w] of a square picture's latent.

    Raises:
        InputError: the size is not a multiple of `Base.side_step`.
    """
    multiple = base.side_step
    if size < multiple or size % multiple:
        raise InputError("size", f"a multiple of {multiple} pixels", str(size), "Round it to a multiple.")
    side = size // base.codec.factor
    return base.codec.channels, side, side


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Convert pixels [B, 3, H, W] from -1 to 1 to RGB pictures."""
    values = pixels.detach().float().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().byte()
    return [Image.fromarray(picture.numpy()) for picture in values.permute(0, 2, 3, 1).cpu()]
