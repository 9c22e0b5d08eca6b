"""Find the kept checkpoint with the lowest validation loss."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import CHECKPOINTS, checkpoints, step_of
from .names import METRICS, VALIDATION


@dataclass(frozen=True)
class Best:
    """The kept checkpoint with the lowest validation loss.

    Attributes:
        step: of the checkpoint.
        average: the validated average, for example "ema-0.05", or "weights".
        loss: its mean squared error on the held-out pictures.
        of: number of kept checkpoints that were validated.
    """

    step: int
    average: str
    loss: float
    of: int

    def text(self) -> str:
        """Return a line for people; empty if only one checkpoint was validated."""
        if self.of < 2:
            return ""
        return f"step {self.step} validated best of {self.of} kept checkpoints ({self.average} {self.loss:.4g})"

    def as_json(self) -> dict[str, Any]:
        """Return the entry for run.json."""
        return {"step": self.step, "average": self.average, "validation": self.loss}


def best_kept(folder: Path, average: str) -> Best | None:
    """Return the kept checkpoint with an average's lowest validation loss, or None if no kept checkpoint was validated.

    A run validates at multiples of validate_every and saves at multiples of save_every; only checkpoints of steps that
    have both count. The newest of equal losses wins.
    """
    losses = dict(_losses(folder / METRICS, f"{VALIDATION}{average}"))
    kept = [step for step in map(step_of, checkpoints(folder / CHECKPOINTS)) if step in losses]
    if not kept:
        return None
    step = min(kept, key=lambda step: (losses[step], -step))
    return Best(step, average, losses[step], len(kept))


def _losses(path: Path, name: str) -> Iterator[tuple[int, float]]:
    """Yield (step, loss) from the metrics file; skip torn lines and lines without this number."""
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
