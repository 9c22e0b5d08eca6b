"""The one exception of everything that reads, checks or writes a concept model."""

from .input_error import InputError


class ConceptFileError(InputError):
    """A concept file or its configuration cannot be used."""


def some(names: list[str], limit: int = 3) -> str:
    """The first `limit` names, and how many more there are, for a message of one line."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
