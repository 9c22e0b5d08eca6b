"""A base model, a concept and a prompt, ready to draw pictures under any weights."""

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
    """How pictures are drawn.

    Attributes:
        seed: picture i of a seed is drawn from the same noise under all weights.
        steps, sampler: as in `training.sample.sampler.solver`.
        size: width and height in pixels.
        batch: pictures drawn at once; changes nothing but memory and time.
    """

    seed: int = 0
    steps: int = 25
    sampler: Sampler = "dpm++"
    size: int = 512
    batch: int = 4


@dataclass(eq=False)
class Scene:
    """What is mixed: base + w_concept * (concept - base) + w_control * (base(prompt) - base).

    Attributes:
        base: gives the codec.
        base_model, concept: the models; both stay where they are.
        null: the base condition, an encoded negative prompt or the empty one.
        control: the prompt's condition; None: there is no control term, its weight is ignored.
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
        """Pictures ``first`` to ``first + count`` of a seed.

        Args:
            weights: (w_concept, w_control).
            progress: called with (steps done, steps of all batches).

        Raises:
            InputError: a size that is no multiple of the codec's factor.
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
    """The condition of one prompt, with the empty prompt's size ids (SDXL).

    Raises:
        InputError: the base brought no text encoder.
    """
    if base.text is None:
        raise InputError("prompt", "a base with tokenizer and text encoder", "one without",
                         f"{NAME_TOKENIZER}, or leave the prompt out.")  # fmt: skip
    with torch.no_grad():
        encoded = base.text.encode([prompt])
    return Condition(encoded.hidden_states, encoded.pooled, base.null.time_ids)


def make_scene(
    base: Base, base_model: Denoiser, concept: Denoiser | None, prompt: str | None = None, negative: str | None = None
) -> Scene:
    """A scene from texts; without a prompt there is no control term.

    Raises:
        InputError: a text and no encoder, or models of different latents.
    """
    control = None if prompt is None else prompt_condition(base, prompt)
    null = prompt_condition(base, negative) if negative else base.null
    return Scene(base, base_model, concept, null, control)


def fitting_side(base: Base, pixels: int) -> int:
    """The largest side up to ``pixels`` that the network can halve as often as it does; never less than one step."""
    return max(1, pixels // base.side_step) * base.side_step


def latent_shape(base: Base, size: int) -> tuple[int, int, int]:
    """[C, h, w] of a square picture's latent.

    Raises:
        InputError: a size that the network cannot halve as often as it does.
    """
    multiple = base.side_step
    if size < multiple or size % multiple:
        raise InputError("size", f"a multiple of {multiple} pixels", str(size), "Round it to one.")
    side = size // base.codec.factor
    return base.codec.channels, side, side


def to_images(pixels: Tensor) -> list[Image.Image]:
    """[B, 3, H, W] from -1 to 1 as RGB pictures."""
    values = pixels.detach().float().clamp(-1.0, 1.0).add(1.0).mul(127.5).round().byte()
    return [Image.fromarray(picture.numpy()) for picture in values.permute(0, 2, 3, 1).cpu()]
