"""The result rows of the experiment, measured now or taken from earlier results."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .experiment import known_settings
from .models import Models

Row = dict[str, Any]
GLASSES_NUMBERS = ("worn_asked", "worn_unasked", "glasses")  # in rows whose prompts ask for glasses
NUMBERS = ("fd", "kid", "style", "background", "skin", "hair", "control", "nearest", "diversity", "evaluations")


def earlier_results(results: Path, count: int) -> dict[str, Any]:
    """Read an earlier results.json; without "rows" and "drift" if it has another number of pictures per row or is
    missing."""
    measured = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    return measured if measured.get("count") == count else {"rows": [], "drift": {}}


def with_earlier(rows: Sequence[Row], earlier: Sequence[Row], models: Models) -> list[Row]:
    """Merge the rows with earlier rows that were not measured again, in the order of the settings.

    The models of an earlier row may be missing. The row is dropped if a model or the setting of its name has changed.

    Args:
        rows, earlier: with "group", "name", "seed", "models" (from `Models.digests`) and "setting" (as JSON).
    """
    names = models.names.union(*(row["models"] for row in earlier))
    now = {(setting.group, setting.name): setting.as_json() for setting in known_settings(names)}
    kept = [
        row for row in earlier
        if row["setting"] == now.get((row["group"], row["name"]), row["setting"])
        and not models.contradict(row["models"])
    ]  # fmt: skip
    merged = {(row["group"], row["name"], row["seed"]): row for row in (*kept, *rows)}
    places = {key: place for place, key in enumerate(now)}
    return sorted(merged.values(), key=lambda row: places.get((row["group"], row["name"]), len(places)))


def over_seeds(rows: Iterable[Row]) -> list[Row]:
    """Return one row per setting, group by group: each number's mean over the seeds, and its deviation as
    NUMBER_std."""
    rows = list(rows)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    by_setting: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: groups.index(row["group"])):
        by_setting.setdefault((row["group"], row["name"]), []).append(row)
    summaries = []
    for (group, name), same in by_setting.items():
        summary: Row = {"group": group, "name": name, "seeds": len(same)}
        for number in (*NUMBERS, *(number for number in GLASSES_NUMBERS if number in same[0])):
            values = [row[number] for row in same]
            summary[number] = statistics.fmean(values)
            summary[f"{number}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        summaries.append(summary)
    return summaries
