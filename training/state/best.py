"""The kept checkpoint with the lowest loss on held-out pictures."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import CHECKPOINTS, checkpoints, step_of
from .names import METRICS, VALIDATION


@dataclass(frozen=True)
class Best:
    """The kept checkpoint that validated best.

    Attributes:
        step: of the checkpoint.
        average: whose loss this is, such as "ema-0.05", or "weights".
        loss: mean squared error on the held-out pictures.
        of: kept checkpoints that were validated.
    """

    step: int
    average: str
    loss: float
    of: int

    def text(self) -> str:
        """For people; nothing where there is no choice."""
        if self.of < 2:
            return ""
        return f"step {self.step} validated best of {self.of} kept checkpoints ({self.average} {self.loss:.4g})"

    def as_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"step": self.step, "average": self.average, "validation": self.loss}


def best_kept(folder: Path, average: str) -> Best | None:
    """The kept checkpoint of a run's folder at whose step an average validated best, None where none was validated.

    A run validates at multiples of validate_every, and saves at those of save_every: a checkpoint at whose step there
    was no validation does not take part. Of equal losses the newest wins.
    """
    losses = dict(_losses(folder / METRICS, f"{VALIDATION}{average}"))
    kept = [step for step in map(step_of, checkpoints(folder / CHECKPOINTS)) if step in losses]
    if not kept:
        return None
    step = min(kept, key=lambda step: (losses[step], -step))
    return Best(step, average, losses[step], len(kept))


def _losses(path: Path, name: str) -> Iterator[tuple[int, float]]:
    """Steps and the number of this name; lines that are torn or have none are left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            loss = row.get(name)
        except (ValueError, AttributeError):
            continue
        if isinstance(loss, int | float):
            yield int(row["step"]), float(loss)
