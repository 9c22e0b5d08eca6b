"""Sample grids during a run, always from the same noise: the concept alone and mixed with its base, or a text model
under its own prompt."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from gcfg_core.concept.forms import form_of

from ..base.model import Base
from ..device import DTYPES
from ..export.facts import TrainingFacts
from ..kinds.text import take_text
from ..sample.concept_model import concept_denoiser
from ..sample.denoiser import base_denoiser
from ..sample.scene import Sampling, Scene, fitting_side, make_scene
from ..sample.weight_grid import BASE_ALONE, CONCEPT_ALONE, weight_grid
from ..settings.config import RunConfig
from .result import concept_from

STEPS = 25
FOLDER = "samples"
Made = TypeVar("Made")


@dataclass(eq=False)
class Painter:
    """Samples pictures with a run's weights; exists only in the first process.

    Attributes:
        config: the run's settings.
        fresh_base: reads an unchanged copy of the base; called once.
        frozen: null-text constants that are not trained.
        device: to sample on.
    """

    config: RunConfig
    fresh_base: Callable[[], Base]
    frozen: Mapping[str, Tensor]
    device: torch.device
    base: Base | None = None

    def grid(self, weights: Mapping[str, Tensor], step: int) -> Image.Image:
        """Make the sample grid and save it in the run's folder.

        Raises:
            InputError: there is a prompt but no text encoder.
            OSError: the file could not be saved.
        """
        with self._scene(weights, self.config.record.prompt) as (scene, sampling):
            picture = weight_grid(scene, sampling, title=f"step {step}")
        folder = Path(self.config.output) / FOLDER
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"step-{step:08d}.png")
        return picture

    def as_tensor(self, weights: Mapping[str, Tensor], step: int) -> Tensor | None:
        """Return `grid` as numbers [3, H, W] from 0 to 1; None if it fails, which does not end the run."""
        picture = _try_to(f"sample grid at step {step}", lambda: self.grid(weights, step).convert("RGB"))
        if picture is None:
            return None
        values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        return values.view(picture.height, picture.width, 3).permute(2, 0, 1).float() / 255.0

    def thumbnail(self, weights: Mapping[str, Tensor]) -> Image.Image:
        """Make one picture with the trained model, without a prompt."""
        with self._scene(weights, None) as (scene, sampling):
            return scene.pictures(BASE_ALONE if scene.concept is None else CONCEPT_ALONE, 1, sampling)[0]

    @contextmanager
    def _scene(self, weights: Mapping[str, Tensor], prompt: str | None) -> Iterator[tuple[Scene, Sampling]]:
        """Move the models to the device while the block runs; then free the device for training, even after an
        error."""
        try:
            yield self._placed(weights, prompt)
        finally:
            if self.base is not None:
                torch.nn.Module.to(self.base.unet, device="cpu", dtype=torch.float32)
                self.base.codec.to("cpu")
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _placed(self, weights: Mapping[str, Tensor], prompt: str | None) -> tuple[Scene, Sampling]:
        if self.base is None:
            self.base = self.fresh_base()
        base = self.base
        concept = concept_from(self.config, base, weights, self.frozen, TrainingFacts())
        concept = form_of(concept).on(concept, base.unet.state_dict())
        dtype = DTYPES[self.config.loop.precision] if self.device.type == "cuda" else torch.float32
        trained = concept_denoiser(concept, base).to(self.device, dtype)
        base.codec.to(self.device)
        sampling = Sampling(
            self.config.loop.seed, STEPS, size=fitting_side(base, max(self.config.data.resolutions)), batch=1
        )
        if self.config.model.reads_text:
            take_text(base, weights)
            return make_scene(base, trained, None, prompt), sampling
        return make_scene(base, base_denoiser(base).to(self.device, dtype), trained, prompt), sampling


def thumbnail_of(painter: Painter, weights: Mapping[str, Tensor]) -> Image.Image | None:
    """Make a picture for the concept file; None if it fails, which does not lose the file."""
    return _try_to("thumbnail", lambda: painter.thumbnail(weights))


def _try_to(what: str, draw: Callable[[], Made]) -> Made | None:
    """Call ``draw``; if it fails, print a warning of one line and return None, so that training continues."""
    try:
        return draw()
    except Exception as error:  # any failure of a device, a disk or an image format
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        print(f"\nwarning: no {what} could be drawn: {reason}", file=sys.stderr, flush=True)
        return None
