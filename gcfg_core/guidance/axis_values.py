"""The values of a sweep's axis, parsed from text as exact fractions, so that 0:1:11 contains 0.1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from ..errors import InputError

MOST_CELLS = 256
"""Largest number of pictures in a sweep, and of values on an axis."""
NUMBER = re.compile(r"[-+]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})", re.ASCII)
EXAMPLE = "numbers like 0, 0.75, 1.5, or start:end:count like 0:3:5"


def parse_values(text: str) -> tuple[Fraction, ...]:
    """Read "0, 0.75, 1.5" (numbers) and "0:3:5" (from 0 to 3 in 5 even steps, both ends included), also mixed.

    Raises:
        InputError: a part has neither form, there is no value, a value repeats, or there are more than MOST_CELLS.
    """
    parts = [part.strip() for part in text.replace("\n", ",").split(",")]
    values = [value for part in parts if part for value in _read(part)]
    if not values:
        raise InputError.saying("values", f"There are none. Write at least one: {EXAMPLE}.")
    if len(values) > MOST_CELLS:
        raise _too_many(len(values))
    for k, value in enumerate(values):
        if value in values[:k]:
            raise InputError("values", "different numbers", f"{float(value):g} twice", "Delete one of the two.")
    return tuple(values)


def _read(part: str) -> Iterator[Fraction]:
    """Yield the numbers of one comma-separated part."""
    start, *rest = part.split(":")
    if not rest:
        yield _number(start, part)
        return
    if len(rest) != 2 or not re.fullmatch(r"\d{1,9}", rest[1].strip(), re.ASCII):
        raise _not_understood(part)
    first, last, count = _number(start, part), _number(rest[0], part), int(rest[1])
    if count < 2:
        raise InputError("values", "a count of at least 2 in start:end:count", repr(part), "Write one value by itself.")
    if count > MOST_CELLS:
        raise _too_many(count)
    for k in range(count):
        yield first + (last - first) * k / (count - 1)


def _number(text: str, part: str) -> Fraction:
    if not NUMBER.fullmatch(text.strip()):
        raise _not_understood(part)
    return Fraction(text.strip())


def _not_understood(part: str) -> InputError:
    return InputError("values", EXAMPLE, repr(part[:40]), "Separate values by commas.")


def _too_many(count: int) -> InputError:
    return InputError("values", f"at most {MOST_CELLS}", str(count), "Sweep in several parts.")
