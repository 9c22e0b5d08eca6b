"""An evaluation: every measure whose sets are given, as JSON and as a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

import gcfg_core
from gcfg_core.errors import InputError

from .features import Extractor, Features
from .measure import GENERATED, MIRRORED, PAIR, REAL, Line, Measure, Values
from .memorisation import Memorised
from .metrics import Frechet, Kernel, Neighbourhoods

MEASURES: tuple[Measure, ...] = (Frechet(), Kernel(), Neighbourhoods(), Memorised())
SCORES = tuple(measure for measure in MEASURES if measure.needs == PAIR)
OTHERS = tuple(measure for measure in MEASURES if measure.needs != PAIR)


@dataclass(frozen=True)
class Evaluation:
    """The measured values and their settings.

    Attributes:
        features: the feature network and its input size.
        scores: generated against real pictures: their numbers, and the values of `SCORES`.
        floor: the same between the halves of the real pictures; no model is expected to be better. Its FD is larger
            because it has fewer pictures.
        others: the values of `OTHERS` by name; None if a set is missing.
        rejected: number of rejected files by set.
        background: colour behind transparent parts, as #rrggbb.
        settings: the command's settings, as JSON values.
        pictures: pictures of the measures, by file name.
    """

    features: str
    scores: Values
    floor: Values | None
    others: Mapping[str, Values | None]
    rejected: Mapping[str, int]
    background: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "features": self.features,
            "scores": dict(self.scores),
            "real_halves": None if self.floor is None else dict(self.floor),
            **self.others,
            "rejected": dict(self.rejected),
            "background": self.background,
            "notes": notes(self),
            "settings": dict(self.settings),
            "version": gcfg_core.__version__,
        }


def measured(
    sets: Mapping[str, Features], extractor: Extractor, background: str, seed: int, settings: Mapping[str, Any]
) -> Evaluation:
    """Compute every measure whose sets are given.

    Args:
        sets: features by name: "real" and "generated"; optionally "train" and "mirrored", its mirror images.
        extractor: extractor of the features.
        background: colour behind transparent parts, as #rrggbb.
        seed: seed of random subsets.
        settings: the command's settings.

    Raises:
        InputError: a measure cannot be computed from these sets.
    """
    others: dict[str, Values | None] = {}
    pictures: dict[str, Image.Image] = {}
    scores, floor = score(sets[REAL], sets[GENERATED], seed), halves(sets[REAL], seed)
    for measure in OTHERS:
        result = measure.compute(sets, seed) if measure.needs <= sets.keys() else None
        others[measure.name] = None if result is None else result.values
        pictures |= {} if result is None else result.pictures
    rejected = {name: len(features.rejected) for name, features in sets.items() if name != MIRRORED}
    return Evaluation(str(extractor), scores, floor, others, rejected, background, settings, pictures)


def score(real: Features, generated: Features, seed: int = 0) -> dict[str, Any]:
    """Return the sizes of two sets, and the values of `SCORES`.

    Raises:
        InputError: a set has fewer than two pictures.
    """
    smaller = min(len(real.values), len(generated.values))
    if smaller < 2:
        raise InputError("pictures", "at least two in each set", str(smaller), "Give more pictures.")
    scores: dict[str, Any] = {REAL: len(real.values), GENERATED: len(generated.values)}
    for measure in SCORES:
        scores |= measure.compute({REAL: real, GENERATED: generated}, seed).values
    return scores


def halves(real: Features, seed: int) -> dict[str, Any] | None:
    """Return `score` between the halves of the real pictures, without duplicate files; None for fewer than four."""
    once = list({file.sha256: row for row, file in enumerate(real.files)}.values())
    if len(once) < 4:
        return None
    first, second = once[0::2][: len(once) // 2], once[1::2]
    return score(_rows(real, first), _rows(real, second), seed)


def _rows(features: Features, rows: list[int]) -> Features:
    return Features(tuple(features.files[row] for row in rows), features.values[rows])


def table(evaluation: Evaluation) -> str:
    """Format the evaluation as a table: name, values, and which way is better; then notes."""
    scores, floor = evaluation.scores, evaluation.floor
    counts = ["" if found is None else f"{found[GENERATED]} / {found[REAL]}" for found in (scores, floor)]
    rows = [("", "generated", "real halves", "better"), ("pictures", *counts, "")]
    for measure in SCORES:
        rows += [(line.title, _number(line, scores), _number(line, floor), line.better) for line in measure.lines]
    for measure in OTHERS:
        values = evaluation.others.get(measure.name)
        if values is not None:
            rows += [(line.title, _number(line, values), "", line.better) for line in measure.lines]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append(f"transparent parts of pictures lie on {evaluation.background} (--background names another colour)")
    return "\n".join([f"features: {evaluation.features}", *lines, *(f"note: {note}" for note in notes(evaluation))])


def notes(evaluation: Evaluation) -> list[str]:
    """Return warnings about the values."""
    lines = [f"{count} files of {name} are not pictures" for name, count in evaluation.rejected.items() if count]
    for measure in SCORES:
        lines += measure.notes(evaluation.scores, evaluation.floor)
    for measure in OTHERS:
        values = evaluation.others.get(measure.name)
        lines += [] if values is None else measure.notes(values, None)
    return lines


def _number(line: Line, values: Values | None) -> str:
    value = None if values is None else values[line.key]
    return "" if value is None else format(value, line.form)
