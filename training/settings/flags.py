"""The command line of a run: preset, then configuration file, then flags, each on top of the one before."""

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
    "Exit codes: 0 when the run is done; 2 when something given cannot be used; 130 after Ctrl-C and 143 after "
    "SIGTERM, with the state saved."
)
ABOUT = "Train a concept model from a base model and a folder of images. The same command again continues a run."


@dataclasses.dataclass(frozen=True)
class Command:
    """What a command line asks for.

    Attributes:
        config: all settings.
        dry_run: show the plan, do nothing.
    """

    config: RunConfig
    dry_run: bool


def parse(words: Sequence[str]) -> Command:
    """Settings and orders of a command line.

    Raises:
        InputError: an unknown preset, file, setting or flag, or a value that is none or out of range.
        SystemExit: --help.
    """
    first, _ = _orders(Arguments(PROG, add_help=False)).parse_known_args(words)
    below: dict[str, Any] = preset(first.preset) if first.preset is not None else {}
    if first.config is not None:
        below = merged(below, read_toml(Path(first.config)))
    given = vars(_parser(below).read(words))
    return Command(run_config(merged(below, _nested(given))), given["dry_run"])


def _orders(parser: Arguments) -> Arguments:
    """The parser with all flags that are no settings."""
    parser.add_argument("--preset", metavar="NAME", help=f"settings to start from: {', '.join(PRESETS)}")
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument("--dry-run", action="store_true", help="show plan, memory and time; write nothing")
    return parser


def _parser(below: Mapping[str, Any]) -> Arguments:
    """A flag for each setting under its bare name; the help shows the values from below as defaults."""
    parser = _orders(Arguments(PROG, ABOUT, usage=USAGE, epilog=CODES))
    sections = {name: section_of(field) for name, field in RunConfig.model_fields.items()}
    groups = {"": parser.add_argument_group("what cannot be left out, with --images")}
    groups |= {name: parser.add_argument_group(name, kind.__doc__) for name, kind in sections.items() if kind}
    for section, name, field in leaves():
        shown = (below.get(section, {}) if section else below).get(name)
        add_flag(groups[section], name, field, shown)
    return parser


def _nested(given: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given in their sections."""
    nested: dict[str, Any] = {}
    for section, name, field in leaves():
        if name in given:
            (nested.setdefault(section, {}) if section else nested)[name] = typed(given[name], field)
    return nested
