"""Ending a run between two steps when it is asked to: SIGTERM from a scheduler, Ctrl-C from a person."""

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

from ..console.endings import Interrupted

REPEAT = 3.0  # seconds; Ctrl-C reaches a process from its terminal, and once more from torchrun
ASK_EVERY = 5.0  # seconds; torchrun sends SIGKILL 30 s after SIGTERM, and a checkpoint has to be written before


class Stop:
    """While the block runs, the first signal is remembered; a later one ends the program at once.

    One that comes within `REPEAT` seconds is the same request, delivered twice.

    Args:
        step: steps done before.

    Attributes:
        signal: the number of the one that came, 0 before.
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
        """Nothing else: it may come while the loop itself is writing."""
        if not self.signal:
            self.signal, self._came = number, time.monotonic()
        elif time.monotonic() - self._came > REPEAT:
            raise Interrupted(number, "stopped without saving; the same command goes on from the last checkpoint")

    def agreed(self, accelerator: Accelerator, step: int, due: bool) -> int:
        """The signal by which any process was asked, 0 for none; all must call this after every step.

        Args:
            step: steps done.
            due: ask the other processes at this step in any case; without, after a number of steps that all have
                agreed on, about `ASK_EVERY` seconds of them.
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
