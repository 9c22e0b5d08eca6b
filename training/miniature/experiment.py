"""Select the settings of the experiment: known, available and requested."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Collection, Set

from .models import Models
from .settings import (
    ABLATION,
    TOON,
    TUNED,
    Setting,
    ablation_settings,
    cost_settings,
    drift_settings,
    length_settings,
    main_settings,
    two_concept_settings,
    unshown_ways,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select settings; the same for sampling and for measuring."""
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3)")
    parser.add_argument("--count", type=int, default=256, help="pictures of each setting and seed (default 256)")
    parser.add_argument("--only", nargs="*", default=[], help="groups or names of settings")


def wanted_settings(models: Models, only: Collection[str] = ()) -> list[Setting]:
    """Return the settings whose models all exist, restricted to the groups or names in ``only`` if given."""
    there, chosen = known_settings(models.names), set(only)
    return [setting for setting in there if not chosen or chosen & {setting.group, setting.name}]


def known_settings(names: Set[str]) -> list[Setting]:
    """Return the settings of models with these names, group by group.

    NAME@STEPS is a model after STEPS training steps; those with ABLATION steps are the ablations and their reference.
    """
    lengths = sorted(int(name.split("@")[1]) for name in names if name.startswith(f"{TOON}@"))
    varied = sorted(name for name in names if name.startswith(TOON) and name.endswith(f"@{ABLATION}"))
    known = [
        *main_settings(), *cost_settings(), *drift_settings(), *two_concept_settings(),
        *itertools.chain.from_iterable(unshown_ways().values()),
        *ablation_settings(name for name in varied if not name.startswith(TUNED)),
        *length_settings(lengths),
    ]  # fmt: skip
    return [setting for setting in known if names >= set(setting.models)]
