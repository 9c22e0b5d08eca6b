"""Sampled pictures on disk, written by ComfyUI and measured by the trainer's environment."""

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
        evaluations: model evaluations per picture and step.
        seconds: sampling time.
    """

    pixels: Tensor
    evaluations: float
    seconds: float


def wanted(seed: int, count: int, glasses: bool = False) -> list[dict[str, str]]:
    """Return the attributes that a seed's prompts ask for; equal for all settings, except glasses in every second
    prompt."""
    return [
        {name: one_of(values, "prompt", seed, index, name) for name, values in ATTRIBUTES.items()}
        | ({GLASSES: WORN[GLASSES][index % 2]} if glasses else {})
        for index in range(count)
    ]


def path_of(folder: Path, models: Models, setting: Setting, seed: int, count: int) -> Path:
    """Return the path of samples, named by a hash of everything that they depend on."""
    key = hashlib.sha256(f"{setting.as_json()} {models.digest(setting)} {seed} {count}".encode()).hexdigest()[:16]
    return folder / f"{key}.safetensors"


def write_samples(path: Path, samples: Samples, setting: Setting) -> None:
    """Write samples. Raises OSError: writing failed."""
    metadata = {
        "setting": setting.as_json(),
        "evaluations": repr(samples.evaluations),
        "seconds": repr(samples.seconds),
    }
    write_tensors(path, {"pixels": samples.pixels}, {"miniature": json.dumps(metadata)})


def read_samples(path: Path) -> Samples:
    """Read samples. Raises OSError, SafetensorError: the file cannot be read."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["miniature"])
        return Samples(file.get_tensor("pixels"), float(metadata["evaluations"]), float(metadata["seconds"]))
