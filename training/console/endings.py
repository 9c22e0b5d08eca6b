"""Commands that end early: asked to by a signal, or because nobody reads their output any more (`... | head`)."""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

BAD_INPUT = 2  # the exit code of an error that a user can put right
SIGPIPE = 13  # POSIX's number, also where there is no such signal
CLOSED_OUTPUT = 128 + SIGPIPE  # the exit code of a program that ends by it


def ends_with_its_reader(command: Callable[..., int]) -> Callable[..., int]:
    """A command that ends, with no word and the exit code that shells expect, when its output's reader has gone.

    A broken pipe to anything else, such as a process of its own, stays an error.
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
    """Whether the other end of a pipe is closed; False for all that is no pipe."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on Windows, no descriptor under a test
        return False


class Interrupted(BaseException):
    """Ends the program with the exit code that shells expect: 130 after Ctrl-C (SIGINT), 143 after SIGTERM.

    No error, like KeyboardInterrupt: what goes on after errors does not go on after this.

    Attributes:
        code: exit code, 128 and the signal's number.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.code = 128 + number


CTRL_C = Interrupted(signal.SIGINT).code
