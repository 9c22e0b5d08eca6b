"""Which settings of the experiment can be run and are wanted."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from .models import Models
from .settings import (
    ABLATION,
    PIXEL,
    SAME,
    TOON,
    TUNED,
    Setting,
    ablation_settings,
    cost_settings,
    drift_settings,
    length_settings,
    main_settings,
    two_concept_settings,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that say what is wanted, the same for sampling and for measuring."""
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3)")
    parser.add_argument("--count", type=int, default=256, help="pictures of each setting and seed (default 256)")
    parser.add_argument("--only", nargs="*", default=[], help="groups or names of settings")


def wanted_settings(models: Models, only: Collection[str] = ()) -> list[Setting]:
    """The settings whose models are all there, of the groups or names in ``only`` if there are any.

    A model toon@2000 is toon after 2000 steps; any other toon_* is one of the ablations.
    """
    names, chosen = models.names, set(only)
    lengths = sorted(int(name.split("@")[1]) for name in names if name.startswith(f"{TOON}@"))
    others = sorted(name for name in names if name.startswith(f"{TOON}_") and "@" not in name and name != TUNED)
    known = [
        *main_settings(), *cost_settings(), *drift_settings(), *two_concept_settings(),
        *ablation_settings([*others, f"{SAME}@{ABLATION}"]),
        *length_settings(lengths),
    ]  # fmt: skip
    there = [setting for setting in known if names.issuperset(setting.models)]
    return [setting for setting in there if not chosen or chosen & {setting.group, setting.name}]


def concept_of(setting: Setting) -> str:
    """Folder of the real pictures that a setting is compared with."""
    return PIXEL if setting.concept == PIXEL else TOON
