"""The measured rows of the experiment: those of samples that are there, and those of earlier reports."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .experiment import known_settings
from .models import Models

Row = dict[str, Any]
GLASSES_NUMBERS = ("worn_asked", "worn_unasked", "glasses")  # of rows with prompts that ask for them
NUMBERS = ("fd", "kid", "style", "background", "skin", "hair", "control", "nearest", "diversity", "evaluations")


def earlier_results(results: Path, count: int) -> dict[str, Any]:
    """An earlier report's results.json, with no "rows" and no "drift" if there is none of as many pictures a row."""
    measured = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    return measured if measured.get("count") == count else {"rows": [], "drift": {}}


def with_earlier(rows: Sequence[Row], earlier: Sequence[Row], models: Models) -> list[Row]:
    """The rows, and those of an earlier report that are not measured anew, in the order of the settings.

    The models of an earlier row may be gone, as those that only the experiment needs; where they are there but are
    others now, or where the setting of that name is another now, the row is dropped.

    Args:
        rows, earlier: with "group", "name", "seed", "models", the digests that `Models.digests` gives, and "setting",
            as JSON.
    """
    names = models.names.union(*(row["models"] for row in earlier))
    now = {(setting.group, setting.name): setting.as_json() for setting in known_settings(names)}
    kept = [
        row for row in earlier
        if row["setting"] == now.get((row["group"], row["name"]), row["setting"])
        and not models.contradict(row["models"])
    ]  # fmt: skip
    found = {(row["group"], row["name"], row["seed"]): row for row in (*kept, *rows)}
    places = {key: place for place, key in enumerate(now)}
    return sorted(found.values(), key=lambda row: places.get((row["group"], row["name"]), len(places)))


def over_seeds(rows: Iterable[Row]) -> list[Row]:
    """One row a setting, group by group: each number's mean over the seeds, its standard deviation as NUMBER_std."""
    rows = list(rows)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    by_setting: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: groups.index(row["group"])):
        by_setting.setdefault((row["group"], row["name"]), []).append(row)
    found = []
    for (group, name), same in by_setting.items():
        summary: Row = {"group": group, "name": name, "seeds": len(same)}
        for number in (*NUMBERS, *(one for one in GLASSES_NUMBERS if one in same[0])):
            values = [row[number] for row in same]
            summary[number] = statistics.fmean(values)
            summary[f"{number}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        found.append(summary)
    return found
