"""Sampled pictures on disk: written where ComfyUI runs, measured where the trainer does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from gcfg_core.concept.tensor_file import write_tensors

from ..seeds import one_of
from .models import Models
from .settings import Setting
from .styles import ATTRIBUTES, GLASSES, WORN


@dataclass(frozen=True, eq=False)
class Samples:
    """Pictures of one setting and seed.

    Attributes:
        pixels: [N, 3, H, W] uint8.
        evaluations: of a model on one picture, a step.
        seconds: of sampling.
    """

    pixels: Tensor
    evaluations: float
    seconds: float


def wanted(seed: int, count: int, glasses: bool = False) -> list[dict[str, str]]:
    """What the prompts of a seed ask for; the same for every setting, but for the glasses of every second one."""
    return [
        {name: one_of(values, "prompt", seed, index, name) for name, values in ATTRIBUTES.items()}
        | ({GLASSES: WORN[GLASSES][index % 2]} if glasses else {})
        for index in range(count)
    ]


def path_of(folder: Path, models: Models, setting: Setting, seed: int, count: int) -> Path:
    """Where samples lie: named after everything that they depend on, so that other weights have others."""
    key = hashlib.sha256(f"{setting.as_json()} {models.digest(setting)} {seed} {count}".encode()).hexdigest()[:16]
    return folder / f"{key}.safetensors"


def write_samples(path: Path, samples: Samples, setting: Setting) -> None:
    """Raises OSError: it could not be written."""
    metadata = {
        "setting": setting.as_json(),
        "evaluations": repr(samples.evaluations),
        "seconds": repr(samples.seconds),
    }
    write_tensors(path, {"pixels": samples.pixels}, {"miniature": json.dumps(metadata)})


def read_samples(path: Path) -> Samples:
    """Raises OSError, SafetensorError: it cannot be read."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["miniature"])
        return Samples(file.get_tensor("pixels"), float(metadata["evaluations"]), float(metadata["seconds"]))
