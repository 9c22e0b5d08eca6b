"""An evaluation: every measure that its sets allow, as JSON, and as a table for people."""

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
    """Everything that was measured, and on what.

    Attributes:
        features: which network at what size.
        scores: generated against real pictures: the number of each, and the values of `SCORES`.
        floor: one half of the real pictures against the other: what no model can be expected to beat at that size.
            Fewer pictures make its FD larger.
        others: the values of `OTHERS` by their names; None where sets are missing.
        rejected: files left out of each set, by its name.
        background: the colour behind transparent parts of all pictures, as #rrggbb.
        settings: what was evaluated, anything JSON holds.
        pictures: that measures drew, by the names of their files.
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
    """Take every measure whose sets are there.

    Args:
        sets: by their names: "real" and "generated"; "train" and "mirrored", its mirror images, where they are given.
        extractor: whose features these are.
        background: the colour behind transparent parts, as #rrggbb.
        seed: of random subsets.
        settings: what is evaluated.

    Raises:
        InputError: sets that a measure cannot be taken of.
    """
    others: dict[str, Values | None] = {}
    pictures: dict[str, Image.Image] = {}
    scores, floor = score(sets[REAL], sets[GENERATED], seed), halves(sets[REAL], seed)
    for measure in OTHERS:
        result = measure.compute(sets, seed) if measure.needs <= sets.keys() else None
        others[measure.name] = None if result is None else result.values
        pictures |= {} if result is None else result.pictures
    rejected = {name: len(found.rejected) for name, found in sets.items() if name != MIRRORED}
    return Evaluation(str(extractor), scores, floor, others, rejected, background, settings, pictures)


def score(real: Features, generated: Features, seed: int = 0) -> dict[str, Any]:
    """The number of pictures of two sets, and the values of `SCORES`.

    Raises:
        InputError: fewer than two pictures in a set.
    """
    smaller = min(len(real.values), len(generated.values))
    if smaller < 2:
        raise InputError("pictures", "at least two in each set", str(smaller), "Give more pictures.")
    scores: dict[str, Any] = {REAL: len(real.values), GENERATED: len(generated.values)}
    for measure in SCORES:
        scores |= measure.compute({REAL: real, GENERATED: generated}, seed).values
    return scores


def halves(real: Features, seed: int) -> dict[str, Any] | None:
    """`score` of one half of the real pictures against the other, each file once; None for fewer than four."""
    once = list({file.sha256: row for row, file in enumerate(real.files)}.values())
    if len(once) < 4:
        return None
    first, second = once[0::2][: len(once) // 2], once[1::2]
    return score(_rows(real, first), _rows(real, second), seed)


def _rows(features: Features, rows: list[int]) -> Features:
    return Features(tuple(features.files[row] for row in rows), features.values[rows])


def table(evaluation: Evaluation) -> str:
    """Names, numbers and which way is better, one a line; below it what to beware of."""
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
    """What to beware of in these numbers."""
    lines = [f"{count} files of {name} are no pictures" for name, count in evaluation.rejected.items() if count]
    for measure in SCORES:
        lines += measure.notes(evaluation.scores, evaluation.floor)
    for measure in OTHERS:
        values = evaluation.others.get(measure.name)
        lines += [] if values is None else measure.notes(values, None)
    return lines


def _number(line: Line, values: Values | None) -> str:
    value = None if values is None else values[line.key]
    return "" if value is None else format(value, line.form)
