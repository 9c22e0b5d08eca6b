"""The errors whose messages are meant for people."""


class InputError(ValueError):
    """Something given by the user, in a file, on a node or on the command line, cannot be used.

    The message is one line: what was looked at, what was expected, what was found, and what to do about it.

    Attributes:
        name: the file, tensor, setting or input that was wrong.
        expected: what it should have been.
        got: what it was.
        remedy: what the user can do.
    """

    def __init__(self, name: str, expected: str, got: str, remedy: str) -> None:
        super().__init__(f"{name}: expected {expected}, got {got}. {remedy}")
        self.name = name
        self.expected = expected
        self.got = got
        self.remedy = remedy

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        """So that it crosses from worker processes whole."""
        return type(self), (self.name, self.expected, self.got, self.remedy)


class ConceptFileError(InputError):
    """A concept file, a small world or a configuration of one cannot be used."""


def some(names: list[str], limit: int = 3) -> str:
    """The first `limit` names, and how many more there are, for a message of one line."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
