"""A run's metrics: metrics.jsonl, TensorBoard and a progress bar, written by the first process."""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ..console.progress_bar import bar
from ..durable import write_bytes
from ..state.names import METRICS


def rewind(path: Path, step: int, review_pending: bool = False) -> None:
    """Cut a metrics file after a step, because later steps will be repeated. Drop a torn last line.

    Args:
        review_pending: drop the validation of this step too; it will be repeated.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row["step"] < step or row["step"] == step and not (review_pending and "loss" not in row):
            kept.append(line + "\n")
    write_bytes(path, "".join(kept).encode())


class Metrics:
    """Writes a run's numbers.

    Args:
        folder: of the run.
        start, steps: steps done before, and in total.
        images: images per step.
        main: True in the first process; the others write nothing.
        review_pending: see `rewind`.
    """

    def __init__(
        self, folder: Path, start: int, steps: int, images: int, main: bool, review_pending: bool = False
    ) -> None:
        self.main = main
        self.images = images
        self._since = time.monotonic()
        if not main:
            return
        rewind(folder / METRICS, start, review_pending)
        self._file = open(folder / METRICS, "a", encoding="utf-8")  # noqa: SIM115  closed in __exit__
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
        self._bar = bar("training", "step", steps, initial=start, leave=True)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.main:
            self._file.close()
            self._board.close()
            self._bar.close()

    def steps(self, rows: list[dict[str, Any]]) -> None:
        """Write the numbers of the steps since the last call, and their speed."""
        speed = len(rows) * self.images / max(time.monotonic() - self._since, 1e-9)
        self._since = time.monotonic()
        if not self.main or not rows:
            return
        for row in rows:
            self._line({**row, "images_per_second": round(speed, 3)})
            for name in ("loss", "grad_norm", "lr"):
                if row[name] is not None:
                    self._board.add_scalar(f"train/{name}", row[name], row["step"])
        self._board.add_scalar("train/images_per_second", speed, rows[-1]["step"])
        # refresh=False: a print between two updates would show the rate and remaining time of the last update.
        self._bar.set_postfix_str(f"loss {rows[-1]['loss']:.4f}, {speed:.1f} images/s", refresh=False)
        self._bar.update(rows[-1]["step"] - self._bar.n)

    def numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write numbers that not every step has, for example a validation loss."""
        if self.main:
            self._line({"step": step, **numbers})
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Add a picture [3, H, W] from 0 to 1 to TensorBoard."""
        if self.main:
            self._board.add_image(name, picture, step)

    def pause(self) -> None:
        """Exclude the time since the last numbers from the speed, after saving, sampling or validating."""
        self._since = time.monotonic()

    def flush(self) -> None:
        """Flush the lines to the disk, before a checkpoint records their steps as done."""
        if self.main:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _line(self, row: Mapping[str, Any]) -> None:
        """Write a line of JSON; non-finite numbers become null."""
        finite = {name: None if isinstance(n, float) and not math.isfinite(n) else n for name, n in row.items()}
        self._file.write(json.dumps(finite) + "\n")
