"""The one exception for what a user can put right."""


class InputError(ValueError):
    """Something given on the command line, in a configuration or on disk cannot be used.

    The message is one line: what was looked at, what was expected, what was found, and what to do about it. The command
    line prints it and ends with exit code 2.
    """

    def __init__(self, name: str, expected: str, got: str, remedy: str) -> None:
        super().__init__(f"{name}: expected {expected}, got {got}. {remedy}")
        self.name = name
        self.expected = expected
        self.got = got
        self.remedy = remedy
