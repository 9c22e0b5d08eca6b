"""`python -m training train`: train a concept from a base model and a folder of images."""

from collections.abc import Sequence

from ..settings.flags import Command
from ..settings.flags import parse as parse_flags


def parse(arguments: Sequence[str]) -> Command:
    """Parse the command line; --help ends the program.

    Raises:
        InputError: a preset, file, setting or flag is unknown, or a value is out of range.
    """
    return parse_flags(arguments)


def run(command: Command) -> str:
    """Train, or show what would be done.

    Returns:
        A line about the result, or the dry run's summary.

    Raises:
        InputError, ConceptFileError, OSError, SafetensorError: an input cannot be used, or a file not read or written.
    """
    if command.dry_run:
        from ..launch.dry_run import dry_run

        return dry_run(command.config)
    from ..launch.session import train

    return train(command.config)
