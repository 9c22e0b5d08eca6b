"""How far the run in a folder has come."""

from dataclasses import dataclass
from pathlib import Path

from .checkpoint import CHECKPOINTS, is_unseen, latest_checkpoint, step_of
from .config import RunConfig
from .record import is_begun, read_record
from .result import file_settings


@dataclass(frozen=True)
class Status:
    """A run that may have begun.

    Attributes:
        step: optimization steps done, 0 where there is no whole checkpoint.
        steps: that were asked for.
        result: the concept file or world that this step gave, None before it is written as it is asked for now.
        unseen: samples or a validation of this step are still to be made.
    """

    step: int
    steps: int
    result: Path | None = None
    unseen: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.result is not None and self.step >= self.steps and not self.unseen

    def text(self) -> str:
        """For people."""
        if self.is_finished:
            return f"was finished before, after {self.step} steps: {self.result} (more --steps go on from there)"
        if self.step >= self.steps:
            left = "the last validation or sample" if self.unseen else "the result"
            return f"all {self.step} steps are done, {left} is still to be written"
        return f"continues at step {self.step} of {self.steps}" if self.step else "begins"


def status_of(config: RunConfig, step: int | None = None, unseen: bool = False) -> Status:
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
        step, unseen = (0, False) if newest is None else (step_of(newest), is_unseen(newest))
    told = read_record(folder).get("result") if is_begun(folder) else None
    if not isinstance(told, dict) or (told.get("steps"), told.get("settings")) != (step, file_settings(config)):
        return Status(step, config.loop.steps, unseen=unseen)
    result = folder / str(told["file"])
    return Status(step, config.loop.steps, result if result.exists() else None, unseen)
