"""What an evaluation found: as JSON, and as a table for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gcfg_core

from .memorisation import Memorisation
from .metrics import ENOUGH, ENOUGH_NEAR, NEAREST, Scores


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured, and on what.

    Attributes:
        features: which network at what size.
        scores: generated against real pictures.
        floor: one half of the real pictures against the other: what no model can be expected to beat at that size.
            Fewer pictures make its FD larger.
        memorisation: None without training images.
        rejected: files left out of each set, by its name.
        background: the colour behind transparent parts of all pictures, as #rrggbb.
        settings: what was evaluated, anything JSON holds.
    """

    features: str
    scores: Scores
    floor: Scores | None
    memorisation: Memorisation | None
    rejected: Mapping[str, int]
    background: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "features": self.features,
            "scores": self.scores.as_json(),
            "real_halves": None if self.floor is None else self.floor.as_json(),
            "memorisation": None if self.memorisation is None else self.memorisation.as_json(),
            "rejected": dict(self.rejected),
            "background": self.background,
            "notes": notes(self),
            "settings": dict(self.settings),
            "version": gcfg_core.__version__,
        }


def table(evaluation: Evaluation) -> str:
    """Names, numbers and which way is better, one a line; below it what to beware of."""
    scores, floor = evaluation.scores, evaluation.floor
    rows = [("", "generated", "real halves", "better")]
    rows.append(
        (
            "pictures",
            f"{scores.generated} / {scores.real}",
            "" if floor is None else f"{floor.generated} / {floor.real}",
            "",
        )
    )
    for name, attribute, better in (
        ("FD", "fd", "lower"),
        ("KID", "kid", "lower"),
        ("KID, deviation", "kid_std", ""),
        ("precision", "precision", "higher"),
        ("recall", "recall", "higher"),
        ("density", "density", "higher"),
        ("coverage", "coverage", "higher"),
    ):
        rows.append((name, _number(scores, attribute), _number(floor, attribute), better))
    if evaluation.memorisation is not None:
        found = evaluation.memorisation
        rows.append(("nearest-image ratio", f"{found.ratio:.3f}", "", "about 1"))
        rows.append(("nearer than 5 % of real", f"{found.nearer:.1%}", "", "about 5%"))
        rows.append(("copies", str(found.copies), "", "0"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append(f"transparent parts of pictures lie on {evaluation.background} (--background names another colour)")
    return "\n".join([f"features: {evaluation.features}", *lines, *(f"note: {note}" for note in notes(evaluation))])


def notes(evaluation: Evaluation) -> list[str]:
    """What to beware of in these numbers."""
    scores = evaluation.scores
    told = [f"{count} files of {name} are no pictures" for name, count in evaluation.rejected.items() if count]
    if min(scores.real, scores.generated) < ENOUGH:
        told.append(
            f"with fewer than {ENOUGH} pictures FD is too large by an amount that depends on their number; "
            "prefer KID, and compare only sets of one size"
        )
    floor = evaluation.floor
    if floor is not None and floor.real < min(scores.real, scores.generated):
        told.append(f"the real halves have {floor.real} pictures each, so their FD has more of that bias: prefer KID")
    if scores.manifold < ENOUGH_NEAR:
        told.append(
            f"precision, recall, density and coverage of {scores.manifold} pictures of each set mean little, 0 too: "
            f"{NEAREST} nearest neighbours need about {ENOUGH_NEAR}"
        )
    return told


def _number(scores: Scores | None, attribute: str) -> str:
    value = None if scores is None else getattr(scores, attribute)
    return "" if value is None else f"{value:.4g}"
