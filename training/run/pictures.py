"""Pictures while a run goes on, always from the same noise: a concept alone and mixed with its base, or the trained
model under its own prompt where the run trains one that reads text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gcfg_core.input_error import InputError
from gcfg_core.lora_concept import LoraConcept, merge_lora

from ..base.model import Base
from ..base.world_text import WordText
from ..export.facts import TrainingFacts
from ..sample.concept_model import concept_denoiser
from ..sample.denoiser import base_denoiser
from ..sample.scene import Drawing, Scene, make_scene
from ..sample.weight_grid import BASE_ALONE, CONCEPT_ALONE, weight_grid
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
        """A concept, its base and both mixed, or a text model under its prompt; also saved in the run's folder.

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
        """One picture of the trained model, without a prompt."""
        scene, how = self._scene(weights, None)
        picture = scene.pictures(BASE_ALONE if scene.concept is None else CONCEPT_ALONE, 1, how)[0]
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
        trained = concept_denoiser(concept, base).to(self.device, dtype)
        base.codec.to(self.device)
        how = Drawing(self.config.loop.seed, STEPS, size=self._side(base), batch=1)
        if self.config.model.kind == "text":
            _take_text(base, weights)
            return make_scene(base, trained, None, prompt), how
        return make_scene(base, base_denoiser(base).to(self.device, dtype), trained, prompt), how

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


def _take_text(base: Base, weights: Mapping[str, Tensor]) -> None:
    """Give the base's text encoder the weights of one that was trained with the UNet; nothing where there are none."""
    own = {key.removeprefix("text."): value for key, value in weights.items() if key.startswith("text.")}
    if own and isinstance(base.text, WordText):
        base.text.load_state_dict({**base.text.state_dict(), **own})
        with torch.no_grad():
            base.null = base.text.encode([""])


def thumbnail_of(painter: Painter, weights: Mapping[str, Tensor]) -> Image.Image | None:
    """A picture for the concept's file; None where none can be drawn, which shall not lose the file."""
    try:
        return painter.thumbnail(weights)
    except InputError:
        return None
