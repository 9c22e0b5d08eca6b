"""A measure of generated pictures: one object that answers every question of `Measure`.

A new measure is a class here or in a neighbour and an entry in `MEASURES` of evaluation.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from .features import Features

REAL, GENERATED, TRAIN, MIRRORED = "real", "generated", "train", "mirrored"
PAIR = frozenset({REAL, GENERATED})  # the sets that every evaluation has
Values = Mapping[str, Any]  # what a measure gives, by the names that evaluation.json has


@dataclass(frozen=True)
class Line:
    """A line of the table that people read.

    Attributes:
        title: what the number is.
        key: of the value.
        form: how Python formats it, as after a colon.
        better: which numbers are better.
    """

    title: str
    key: str
    form: str
    better: str


@dataclass(frozen=True, eq=False)
class Result:
    """What a measure gives: values for evaluation.json, and pictures by the names of their files."""

    values: Values
    pictures: Mapping[str, Image.Image]


class Measure(ABC):
    """A measure; a subclass that leaves a question open cannot be made.

    What needs `PAIR` alone stands under "scores", and is taken of the two halves of the real pictures too. Every other
    measure stands under its own name.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in evaluation.json."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """The sets without which it is left out."""

    @property
    @abstractmethod
    def lines(self) -> tuple[Line, ...]:
        """How the table prints its values."""

    @abstractmethod
    def compute(self, sets: Mapping[str, Features], seed: int) -> Result:
        """Measure; ``sets`` are those it needs, each in an order that depends on content alone.

        Raises:
            InputError: sets that cannot be measured.
        """

    @abstractmethod
    def notes(self, values: Values, halves: Values | None) -> list[str]:
        """What to beware of: one sentence each.

        Args:
            values: of every measure under the same name.
            halves: the same of the real pictures' halves, where they were measured.
        """
