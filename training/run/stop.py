"""Ending a run between two steps when it is asked to: SIGTERM from a scheduler, Ctrl-C from a person."""

import signal
import sys
from types import FrameType, TracebackType

import torch
from accelerate import Accelerator


class Stop:
    """While the block runs, the first signal is remembered; a second one ends the program at once.

    Attributes:
        signal: the number of the one that came, 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Stop":
        for name in (signal.SIGTERM, signal.SIGINT):
            self._before[name] = signal.signal(name, self._remember)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        print("\nstopping after this step; once more to stop without saving", file=sys.stderr, flush=True)

    def agreed(self, accelerator: Accelerator) -> int:
        """The signal by which any process was asked, 0 for none; all must call this at the same step."""
        if accelerator.num_processes == 1:
            return self.signal
        mine = torch.tensor([self.signal], device=accelerator.device)
        return int(accelerator.gather(mine).max())  # type: ignore[union-attr]
