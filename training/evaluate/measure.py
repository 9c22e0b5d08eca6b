"""The interface of a measure of generated pictures.

To add a measure, write a subclass and add it to `MEASURES` in evaluation.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from .features import Features

REAL, GENERATED, TRAIN, MIRRORED = "real", "generated", "train", "mirrored"
PAIR = frozenset({REAL, GENERATED})  # the sets of every evaluation
Values = Mapping[str, Any]  # a measure's results, by their names in evaluation.json


@dataclass(frozen=True)
class Line:
    """A line of the printed table.

    Attributes:
        title: the number's name.
        key: of the value in `Values`.
        form: Python format specification.
        better: which values are better, in words.
    """

    title: str
    key: str
    form: str
    better: str


@dataclass(frozen=True, eq=False)
class Result:
    """A measure's values for evaluation.json, and its pictures by file name."""

    values: Values
    pictures: Mapping[str, Image.Image]


class Measure(ABC):
    """A measure of generated pictures. A subclass must implement every method.

    A measure that needs only `PAIR` appears under "scores", and is also computed between the two halves of the real
    pictures. Every other measure appears under its own name.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in evaluation.json."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """The sets that it needs; without them it is skipped."""

    @property
    @abstractmethod
    def lines(self) -> tuple[Line, ...]:
        """How the table prints its values."""

    @abstractmethod
    def compute(self, sets: Mapping[str, Features], seed: int) -> Result:
        """Compute the measure. ``sets`` are those it needs, each in an order that depends only on content.

        Raises:
            InputError: the sets cannot be measured.
        """

    @abstractmethod
    def notes(self, values: Values, halves: Values | None) -> list[str]:
        """Return warnings about the values, one sentence each.

        Args:
            values: of every measure under the same heading.
            halves: the same of the halves of the real pictures, if computed.
        """
