"""The errors whose messages are meant for people."""

from typing import TypeVar

Error = TypeVar("Error", bound="InputError")


class InputError(ValueError):
    """A file, a node's input or a command line argument of the user cannot be used.

    The message is one line: "NAME: expected EXPECTED, got GOT. REMEDY", or "NAME: " and a free text (see `saying`).

    Attributes:
        name: the wrong file, tensor, setting or input.
        expected: the value it should have; empty with a free text.
        got: the value it has; empty with a free text.
        remedy: what the user can do; the whole free text.
    """

    def __init__(self, name: str, expected: str, got: str, remedy: str) -> None:
        super().__init__(f"{name}: expected {expected}, got {got}. {remedy}" if expected else f"{name}: {remedy}")
        self.name = name
        self.expected = expected
        self.got = got
        self.remedy = remedy

    @classmethod
    def saying(cls: type[Error], name: str, text: str) -> Error:
        """Make the error with a free text, where "expected ..., got ..." would read badly."""
        return cls(name, "", "", text)

    def of(self: Error, name: str) -> Error:
        """Return the same error of another thing."""
        return type(self)(name, self.expected, self.got, self.remedy)

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        """Let pickle pass the error from worker processes with its attributes."""
        return type(self), (self.name, self.expected, self.got, self.remedy)


class ConceptFileError(InputError):
    """A concept file, a small world or its configuration cannot be used."""


def some(names: list[str], limit: int = 3) -> str:
    """List the first `limit` names and the number of further names, for a message of one line."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
