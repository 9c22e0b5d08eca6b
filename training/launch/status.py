"""The status of the run in a folder: how many steps are done, and what is missing."""

from dataclasses import dataclass
from pathlib import Path

from ..settings.config import RunConfig
from ..state.best import Best, best_kept
from ..state.checkpoint import CHECKPOINTS, is_review_pending, latest_checkpoint, step_of
from ..state.continuation import continuation
from ..state.ema import first_average
from ..state.record import is_begun, read_record
from .result import file_settings


@dataclass(frozen=True)
class Status:
    """A run's status.

    Attributes:
        step: optimization steps done, 0 without a complete checkpoint.
        steps: requested steps.
        result: the concept file or world of this step; None if it is not written yet with the present settings.
        review_pending: samples or validation of this step are not done yet.
        best: the kept checkpoint with the lowest validation loss.
        continuation: how to train on from a finished run.
    """

    step: int
    steps: int
    result: Path | None = None
    review_pending: bool = False
    best: Best | None = None
    continuation: str = ""

    @property
    def is_finished(self) -> bool:
        """True if nothing is left to do."""
        return self.result is not None and self.step >= self.steps and not self.review_pending

    def text(self) -> str:
        """Return the status as a line for people."""
        best = "" if self.best is None else self.best.text()
        return "; ".join(filter(None, [self._main_text(), best]))

    def _main_text(self) -> str:
        if self.is_finished:
            return f"was finished before, after {self.step} steps: {self.result} ({self.continuation})"
        if self.step >= self.steps:
            left = "the last validation or sample" if self.review_pending else "the result"
            return f"all {self.step} steps are done, {left} is still to be written"
        return f"continues at step {self.step} of {self.steps}" if self.step else "begins"


def status_of(config: RunConfig, step: int | None = None, review_pending: bool = False) -> Status:
    """Read the status from the files in a run's folder; write nothing.

    Args:
        config: the run's settings; its folder may be missing.
        step: the run's present step; default: that of the newest complete checkpoint.
        review_pending: as in `Status`; used only with ``step``.

    Raises:
        InputError: run.json is damaged.
    """
    folder = Path(config.output)
    if step is None:
        newest = latest_checkpoint(folder / CHECKPOINTS)
        step, review_pending = (0, False) if newest is None else (step_of(newest), is_review_pending(newest))
    record = read_record(folder) if is_begun(folder) else {}
    best = best_kept(folder, first_average(config.ema)) if record else None
    noted = record.get("result")
    if not isinstance(noted, dict) or (noted.get("steps"), noted.get("settings")) != (step, file_settings(config)):
        return Status(step, config.loop.steps, review_pending=review_pending, best=best)
    result = folder / str(noted["file"])
    onward = "more --steps continue from there"
    if config.optimizer.lr_schedule != "constant":
        onward = f"its learning rate has reached 0. {continuation(folder, record)}".strip(" .")
    return Status(step, config.loop.steps, result if result.exists() else None, review_pending, best, onward)
