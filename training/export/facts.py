"""The facts about a training run that its result records."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gcfg_core

from ..base.model import Base


@dataclass(frozen=True)
class TrainingFacts:
    """How a concept was trained; None means unknown, and is omitted from files.

    Attributes:
        steps: optimization steps.
        images: training images.
        resolution: side in pixels; for buckets the square root of the area.
        ema: the exported average, for example "ema-0.05"; None: the last weights.
        seed: of the run.
        dataset_sha256: hash of all pictures and captions, including held-out pictures
            (`training.data.scan.Scan.digest`).
        settings: further settings, as JSON values.
    """

    steps: int | None = None
    images: int | None = None
    resolution: int | None = None
    ema: str | None = None
    seed: int | None = None
    dataset_sha256: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the value of `gcfg.training`: the known facts, and the version that wrote them."""
        named = {
            "steps": self.steps,
            "images": self.images,
            "resolution": self.resolution,
            "ema": self.ema,
            "seed": self.seed,
            "dataset_sha256": self.dataset_sha256,
        }
        known: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
        if self.settings:
            known["settings"] = dict(self.settings)
        return {**known, "version": gcfg_core.__version__}


HASH = re.compile(r"sha256 ([0-9a-f]{64})")


def base_hash(line: str) -> str | None:
    """Return the hash in a text from `base_line`, or None."""
    match = HASH.search(line)
    return match[1] if match else None


def base_line(base: Base) -> str:
    """Return name and hash of a base for `gcfg.base`; the hash covers its UNet's tensors, independent of the file
    format."""
    return f"{base.name} (sha256 {base.sha256})"
