"""What is known about a training run when its result is written down."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gcfg_core

from ..base.model import Base


@dataclass(frozen=True)
class TrainingFacts:
    """How a concept was trained; None where it is not known, and then nothing is said about it.

    Attributes:
        steps: optimization steps.
        images: training images.
        resolution: pixels along a side, or the area's square root where there are buckets.
        ema: the average that was exported, such as "ema-0.05"; None: the last weights themselves.
        seed: of the run.
        dataset_sha256: of the hashes and captions of all pictures that the run was given, those held out too
            (`training.data.scan.Scan.digest`).
        settings: everything else worth repeating, anything JSON holds.
    """

    steps: int | None = None
    images: int | None = None
    resolution: int | None = None
    ema: str | None = None
    seed: int | None = None
    dataset_sha256: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What `gcfg.training` holds: only what is known, and the version that wrote it."""
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
    """The hash that `base_line` noted."""
    found = HASH.search(line)
    return found[1] if found else None


def base_line(base: Base) -> str:
    """Name and hash of a base, for `gcfg.base`; the hash is that of its UNet's tensors, whatever file they lie in."""
    return f"{base.name} (sha256 {base.sha256})"
