"""A command that ended because it was asked to."""

import signal


class Interrupted(BaseException):
    """Ends the program with the exit code that shells expect: 130 after Ctrl-C (SIGINT), 143 after SIGTERM.

    No error, like KeyboardInterrupt: what goes on after errors does not go on after this.

    Attributes:
        code: exit code, 128 and the signal's number.
    """

    def __init__(self, number: int, told: str = "") -> None:
        super().__init__(told)
        self.code = 128 + number


CTRL_C = Interrupted(signal.SIGINT).code
