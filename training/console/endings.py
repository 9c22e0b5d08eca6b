"""Early exits of a command: a signal, no memory left, or a reader that has closed the output (`... | head`)."""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

BAD_INPUT = 2  # exit code of errors that the user can correct
SIGPIPE = 13  # POSIX's number; Windows has no SIGPIPE
CLOSED_OUTPUT = 128 + SIGPIPE  # exit code of a program that SIGPIPE ends
LESS = "Lower --batch-size, --batch or the resolution, take a smaller precision, or --device cpu."
SIGNS = ("out of memory", "can't allocate memory", "alloc_cpu", "CUBLAS_STATUS_ALLOC_FAILED")


def ends_with_its_reader(command: Callable[..., int]) -> Callable[..., int]:
    """Decorate a command: if its output's reader is gone, end silently with the exit code that shells expect.

    A broken pipe to anything else, for example to a child process, stays an error.
    """

    def wrapped(*arguments: Any) -> int:
        try:
            try:
                return command(*arguments)
            finally:
                sys.stdout.flush()  # also after --help, which ends the program
        except BrokenPipeError as error:
            closed = [stream for stream in (sys.stdout, sys.stderr) if _is_closed(stream)]
            if not closed:
                print(f"error: {error}", file=sys.stderr)
                return BAD_INPUT
            for stream in closed:  # the interpreter flushes them once more when it ends
                with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), stream.fileno())
            return CLOSED_OUTPUT

    return wrapped


def _is_closed(stream: Any) -> bool:
    """True if the other end of a pipe is closed; False for streams that are not pipes."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on Windows, no descriptor under a test
        return False


class Interrupted(BaseException):
    """Ends the program with the exit code that shells expect: 130 after Ctrl-C (SIGINT), 143 after SIGTERM.

    Like KeyboardInterrupt it is no Exception, so that code which continues after errors does not catch it.

    Attributes:
        code: exit code, 128 + the signal's number.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.code = 128 + number


CTRL_C = Interrupted(signal.SIGINT).code


def is_out_of_memory(error: BaseException) -> bool:
    """True if an exception means that a device or the machine ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def memory_line(error: BaseException) -> str:
    """Return the error message, one line."""
    reason = " ".join((str(error) or "no more").split())[:120]
    return f"out of memory: {reason}. {LESS}"
