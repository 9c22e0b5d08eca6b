"""The one exception of everything that reads, checks or writes a concept model."""


class ConceptFileError(ValueError):
    """A concept file or its configuration cannot be used.

    The message is one line: what was looked at, what was expected, what was found, and what to do about it.

    Attributes:
        name: the file, tensor or configuration key that was wrong.
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
        return type(self), (self.name, self.expected, self.got, self.remedy)


def some(names: list[str], limit: int = 3) -> str:
    """The first `limit` names, and how many more there are, for a message of one line."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
