"""How far the run in a folder has come."""

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
    """A run that may have begun.

    Attributes:
        step: optimization steps done, 0 where there is no whole checkpoint.
        steps: that were asked for.
        result: the concept file or world that this step gave, None before it is written as it is asked for now.
        unseen: samples or a validation of this step are still to be made.
        best: the kept checkpoint that validated best.
        way_on: how a finished run is trained on.
    """

    step: int
    steps: int
    result: Path | None = None
    review_pending: bool = False
    best: Best | None = None
    continuation: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.result is not None and self.step >= self.steps and not self.review_pending

    def text(self) -> str:
        """For people."""
        best = "" if self.best is None else self.best.text()
        return "; ".join(filter(None, [self._come_to(), best]))

    def _come_to(self) -> str:
        if self.is_finished:
            return f"was finished before, after {self.step} steps: {self.result} ({self.continuation})"
        if self.step >= self.steps:
            left = "the last validation or sample" if self.review_pending else "the result"
            return f"all {self.step} steps are done, {left} is still to be written"
        return f"continues at step {self.step} of {self.steps}" if self.step else "begins"


def status_of(config: RunConfig, step: int | None = None, review_pending: bool = False) -> Status:
    """What the files in a run's folder tell; nothing is written.

    Args:
        config: of the run, whose folder need not be there.
        step: that the run is at; that of the newest whole checkpoint without it.
        unseen: as in `Status`; with ``step`` alone.

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
    onward = "more --steps go on from there"
    if config.optimizer.lr_schedule != "constant":
        onward = f"its learning rate has come down to 0. {continuation(folder, record)}".strip(" .")
    return Status(step, config.loop.steps, result if result.exists() else None, review_pending, best, onward)
