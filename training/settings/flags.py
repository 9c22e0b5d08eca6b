"""The command line of `train`: a preset, then a configuration file, then flags; later values override earlier
values."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..console.arguments import Arguments
from ..console.program import PROGRAM
from ..console.setting_flags import add_flag, typed
from .config import RunConfig
from .presets import PRESETS
from .read import leaves, merged, preset, read_toml, run_config, section_of

PROG = f"{PROGRAM} train"
USAGE = f"{PROG} --base BASE --images DIR --output RUN [--preset NAME] [--config FILE] [--dry-run] [settings]"
CODES = (
    "Exit codes: 0 when the run is done; 2 after bad input; 130 after Ctrl-C and 143 after "
    "SIGTERM, with the state saved."
)
ABOUT = "Train a concept model from a base model and a folder of images. Give the same command again to continue a run."


@dataclasses.dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        config: all settings.
        dry_run: show what the run would do; write nothing.
    """

    config: RunConfig
    dry_run: bool


def parse(words: Sequence[str]) -> Command:
    """Parse the command line of `train`.

    Raises:
        InputError: an unknown preset, file, setting or flag, or a value that is missing or out of range.
        SystemExit: --help.
    """
    first, _ = _add_plain_flags(Arguments(PROG, add_help=False)).parse_known_args(words)
    below: dict[str, Any] = preset(first.preset) if first.preset is not None else {}
    if first.config is not None:
        below = merged(below, read_toml(Path(first.config)))
    given = vars(_parser(below).read(words))
    return Command(run_config(merged(below, _nested(given))), given["dry_run"])


def _add_plain_flags(parser: Arguments) -> Arguments:
    """Add the flags that are not settings, and return the parser."""
    parser.add_argument("--preset", metavar="NAME", help=f"settings to start from: {', '.join(PRESETS)}")
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what the run would do, its memory and time; write nothing"
    )
    return parser


def _parser(below: Mapping[str, Any]) -> Arguments:
    """Return a parser with a flag for each setting; the help shows ``below`` as the defaults."""
    parser = _add_plain_flags(Arguments(PROG, ABOUT, usage=USAGE, epilog=CODES))
    sections = {name: section_of(field) for name, field in RunConfig.model_fields.items()}
    groups = {"": parser.add_argument_group("required, with --images")}
    groups |= {name: parser.add_argument_group(name, kind.__doc__) for name, kind in sections.items() if kind}
    for section, name, field in leaves():
        shown = (below.get(section, {}) if section else below).get(name)
        add_flag(groups[section], name, field, shown)
    return parser


def _nested(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given flags under their sections."""
    nested: dict[str, Any] = {}
    for section, name, field in leaves():
        if name in given:
            (nested.setdefault(section, {}) if section else nested)[name] = typed(given[name], field)
    return nested
