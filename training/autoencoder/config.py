"""The settings of a VAE's training."""

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class AutoencoderConfig:
    """A run that trains a `TinyAutoencoder`.

    Args:
        output: folder of the run.
        pictures: training pictures, all at least ``crop`` pixels wide and high.
        steps, batch: optimization steps, and crops per step.
        crop: side of a crop in pixels, a multiple of 8.
        widths, channels: of the network.
        lr, bias_lr: peak of the learning rate of weights (Muon's) and biases (AdamW's).
        warmup_steps: the rates rise linearly, and then fall as a cosine to 1 % of the peak.
        feature_weight: last weight of the distance of EfficientNet's features beside the distance of the pixels; it
            rises from 0, because colours are learned first.
        noise: largest standard deviation of the noise on latents, which prepares the decoder for sampled latents.
        seed: of the initial weights and everything that is drawn.
        save_every: steps between checkpoints.
    """

    output: Path
    pictures: tuple[Path, ...]
    steps: int
    batch: int = 8
    crop: int = 64
    widths: tuple[int, ...] = (24, 32, 48, 64)
    channels: int = 8
    lr: float = 5e-3
    bias_lr: float = 1e-3
    warmup_steps: int = 50
    feature_weight: float = 0.5
    noise: float = 0.05
    seed: int = 0
    save_every: int = 500

    def facts(self) -> dict[str, Any]:
        """Return the settings that determine the result, as JSON values."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        del own["output"], own["save_every"]
        names = "\n".join(path.name for path in own.pop("pictures"))
        pictures = {"images": len(self.pictures), "names_sha256": hashlib.sha256(names.encode()).hexdigest()}
        return {**own, "widths": list(self.widths), **pictures}
