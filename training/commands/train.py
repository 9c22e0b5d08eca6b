"""`python -m training train`: from a base model and a folder of images to a concept file."""

from collections.abc import Sequence

from ..settings.flags import Command
from ..settings.flags import parse as parse_flags


def parse(arguments: Sequence[str]) -> Command:
    """Settings of a command line; --help ends the program.

    Raises:
        InputError: an unknown preset, file, setting or flag, or a value out of range.
    """
    return parse_flags(arguments)


def run(command: Command) -> str:
    """Train, or show what would be done.

    Returns:
        What came out, for people.

    Raises:
        InputError, ConceptFileError, OSError, SafetensorError: something given cannot be used, read or written.
    """
    if command.dry_run:
        from ..launch.dry_run import dry_run

        return dry_run(command.config)
    from ..launch.session import train

    return train(command.config)
