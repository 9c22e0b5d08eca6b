"""Ending a run between two steps when it is asked to: SIGTERM from a scheduler, Ctrl-C from a person."""

import signal
import sys
from types import FrameType, TracebackType

import torch
from accelerate import Accelerator


class Stop:
    """While the block runs, the first signal is remembered; a second one ends the program at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Stop":
        for name in (signal.SIGTERM, signal.SIGINT):
            self._before[name] = signal.signal(name, self._remember)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nstopping after this step; once more to stop without saving", file=sys.stderr, flush=True)

    def agreed(self, accelerator: Accelerator) -> bool:
        """Whether any process was asked; all must call this at the same step."""
        if accelerator.num_processes == 1:
            return self.asked
        flag = torch.tensor(int(self.asked), device=accelerator.device)
        return bool(accelerator.reduce(flag, "sum"))  # type: ignore[arg-type]
