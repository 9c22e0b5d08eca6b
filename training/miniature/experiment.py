"""The experiment from shipped weights: which settings can be run, and the numbers of what was sampled."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .settings import (
    BASE,
    PIXEL,
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

NUMBERS = ("fd", "kid", "style", "background", "skin", "hair", "control", "nearest", "diversity", "evaluations")


def models_in(weights: Path) -> set[str]:
    """Names of the models in a folder with world/ and concepts/."""
    return {BASE, *(path.stem for path in (weights / "concepts").glob("*.safetensors"))}


def available(weights: Path) -> list[Setting]:
    """The settings whose models are all there. A file toon@2000.safetensors is toon after 2000 steps; any other
    toon_*.safetensors is a model of the ablations."""
    models = models_in(weights)
    lengths = sorted(int(name.split("@")[1]) for name in models if name.startswith(f"{TOON}@"))
    others = sorted(name for name in models if name.startswith(f"{TOON}_") and not name.startswith(TUNED))
    wanted = [
        *main_settings(), *cost_settings(), *drift_settings(), *two_concept_settings(), *ablation_settings(others),
        *length_settings(lengths),
    ]  # fmt: skip
    return [setting for setting in wanted if models.issuperset(setting.models)]


def over_seeds(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a setting: each number's mean over the seeds, and its standard deviation under "NUMBER_std"."""
    by_setting: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        by_setting.setdefault((row["group"], row["name"]), []).append(row)
    found = []
    for (group, name), same in by_setting.items():
        summary: dict[str, Any] = {"group": group, "name": name, "seeds": len(same)}
        for number in NUMBERS:
            values = [row[number] for row in same]
            summary[number] = statistics.fmean(values)
            summary[f"{number}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        found.append(summary)
    return found


def concept_of(setting: Setting) -> str:
    """Folder of the real pictures that a setting is compared with."""
    return PIXEL if setting.concept == PIXEL else TOON
