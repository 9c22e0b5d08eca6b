"""End a run between two steps after a signal: SIGTERM from a job scheduler, or Ctrl-C."""

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

from ..console.endings import Interrupted

REPEAT = 3.0  # seconds; a process gets Ctrl-C from its terminal and again from torchrun
ASK_EVERY = 5.0  # seconds; torchrun sends SIGKILL 30 s after SIGTERM, and the checkpoint must be written by then


class Stop:
    """While the block runs, remember the first signal; a later signal ends the program at once.

    A second signal within `REPEAT` seconds counts as the same request, delivered twice.

    Args:
        step: steps done so far.

    Attributes:
        signal: number of the first signal, 0 before.
    """

    def __init__(self, step: int = 0) -> None:
        self.signal = 0
        self._came = 0.0
        self._announced = False
        self._before: dict[signal.Signals, object] = {}
        self._asked, self._next, self._since = step, step, time.monotonic()

    def __enter__(self) -> "Stop":
        for name in (signal.SIGTERM, signal.SIGINT):
            self._before[name] = signal.signal(name, self._remember)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        """Only store the signal, because it may interrupt the loop while it writes."""
        if not self.signal:
            self.signal, self._came = number, time.monotonic()
        elif time.monotonic() - self._came > REPEAT:
            raise Interrupted(number, "stopped without saving; the same command continues from the last checkpoint")

    def agreed(self, accelerator: Accelerator, step: int, due: bool) -> int:
        """Return the signal that any process received, 0 for none. All processes call this after every step.

        Args:
            step: steps done.
            due: ask the other processes at this step in any case; else only about every `ASK_EVERY` seconds, at a
                step that all have agreed on.
        """
        if self.signal and not self._announced:
            print("\nstopping after this step; once more to stop without saving", file=sys.stderr, flush=True)
            self._announced = True
        if accelerator.num_processes == 1:
            return self.signal
        if not due and step < self._next:
            return 0
        seconds = (time.monotonic() - self._since) / max(1, step - self._asked)  # of a step
        mine = torch.tensor([[float(self.signal), seconds]], device=accelerator.device)
        gathered: Any = accelerator.gather(mine)  # [processes, 2]
        number, slowest = gathered.amax(0).tolist()
        self._asked, self._next, self._since = step, step + max(1, int(ASK_EVERY / slowest)), time.monotonic()
        return int(number)
