"""Pictures while a run goes on: the concept alone and mixed with its base, always from the same noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gcfg_core.input_error import InputError
from gcfg_core.lora_concept import LoraConcept, merge_lora

from ..base.model import Base
from ..export.facts import TrainingFacts
from ..sample.concept_model import concept_denoiser
from ..sample.denoiser import base_denoiser
from ..sample.scene import Drawing, Scene, make_scene
from ..sample.weight_grid import CONCEPT_ALONE, weight_grid
from .config import RunConfig
from .result import concept_from

STEPS = 25
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FOLDER = "samples"


@dataclass(eq=False)
class Painter:
    """Draws with a run's weights; the first process alone has one.

    Attributes:
        config: of the run.
        fresh_base: reads the base again, unchanged; called once.
        frozen: the null-text constants that are not trained.
        device: to draw on.
    """

    config: RunConfig
    fresh_base: Callable[[], Base]
    frozen: Mapping[str, Tensor]
    device: torch.device
    base: Base | None = None

    def grid(self, weights: Mapping[str, Tensor], step: int) -> Image.Image:
        """The concept alone, the base, and both mixed at several weights; also saved in the run's folder.

        Raises:
            InputError: a prompt and no text encoder.
        """
        scene, how = self._scene(weights, self.config.record.prompt)
        picture = weight_grid(scene, how, title=f"step {step}")
        folder = Path(self.config.output) / FOLDER
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"step-{step:08d}.png")
        self._put_back(scene)
        return picture

    def as_tensor(self, weights: Mapping[str, Tensor], step: int) -> Tensor:
        """`grid` as numbers [3, H, W] from 0 to 1."""
        picture = self.grid(weights, step).convert("RGB")
        values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        return values.view(picture.height, picture.width, 3).permute(2, 0, 1).float() / 255.0

    def thumbnail(self, weights: Mapping[str, Tensor]) -> Image.Image:
        """One picture of the concept alone."""
        scene, how = self._scene(weights, None)
        picture = scene.pictures(CONCEPT_ALONE, 1, how)[0]
        self._put_back(scene)
        return picture

    def _scene(self, weights: Mapping[str, Tensor], prompt: str | None) -> tuple[Scene, Drawing]:
        if self.base is None:
            self.base = self.fresh_base()
        base = self.base
        concept = concept_from(self.config, base, weights, self.frozen, TrainingFacts())
        if isinstance(concept, LoraConcept):
            concept = merge_lora(concept, base.unet.state_dict())
        dtype = DTYPES[self.config.loop.precision] if self.device.type == "cuda" else torch.float32
        concept_model = concept_denoiser(concept, base).to(self.device, dtype)
        base_model = base_denoiser(base).to(self.device, dtype)
        base.codec.to(self.device)
        how = Drawing(self.config.loop.seed, STEPS, size=self._side(base), batch=1)
        return make_scene(base, base_model, concept_model, prompt), how

    def _side(self, base: Base) -> int:
        """The largest resolution that is trained, as far as the network can halve it."""
        multiple = base.codec.factor * 2 ** (len(base.config["block_out_channels"]) - 1)
        return max(1, max(self.config.data.resolutions) // multiple) * multiple

    def _put_back(self, scene: Scene) -> None:
        """Free the device for training."""
        scene.base_model.to("cpu", torch.float32)
        scene.base.codec.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def thumbnail_of(painter: Painter, weights: Mapping[str, Tensor]) -> Image.Image | None:
    """A picture for the concept's file; None where none can be drawn, which shall not lose the file."""
    try:
        return painter.thumbnail(weights)
    except InputError:
        return None
