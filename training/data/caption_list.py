"""Read caption lists of a folder: metadata.jsonl or metadata.csv."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .image_file import error_line
from .picture import CaptionProblem

JSONL, CSV = "metadata.jsonl", "metadata.csv"
COLUMNS = ("file_name", "text")


class Entry(NamedTuple):
    """A caption in a list; ``line`` counts from 1."""

    line: int
    file_name: str
    text: str


def entries(path: Path) -> Iterator[Entry | CaptionProblem]:
    """Yield the captions of a list and its unusable lines, in order."""
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        yield CaptionProblem(path, None, error_line(error))
        return
    yield from _table(path, data) if path.name == CSV else _lines(path, data)


def _lines(path: Path, data: bytes) -> Iterator[Entry | CaptionProblem]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                yield Entry(number, *_record(line))
            except ValueError as error:
                yield CaptionProblem(path, number, error_line(error))


def _record(line: bytes) -> tuple[str, str]:
    """Return ``file_name`` and ``text`` of a JSON line; ValueError if they are missing."""
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error_line(error)}") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    for key in COLUMNS:
        if not isinstance(record.get(key), str):
            raise ValueError(f"no string {key!r}")
    return record["file_name"], record["text"]


def _table(path: Path, data: bytes) -> Iterator[Entry | CaptionProblem]:
    """Read CSV rows below a header line; commas separate columns, quotes enclose cells with commas."""
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
    except UnicodeDecodeError:
        yield CaptionProblem(path, None, "not UTF-8")
        return
    places: list[int] = []
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
            if row is None:
                return
            if not places:
                places = _places(row)
            elif row:
                yield Entry(line, *_cells(row, places))
        except (ValueError, csv.Error) as error:
            yield CaptionProblem(path, line, error_line(error))
            if not places:
                return


def _places(header: list[str]) -> list[int]:
    """Return the positions of the columns; ValueError if the header does not name them."""
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ValueError(f"no column {missing[0]!r}, but {', '.join(map(repr, header)) or 'none'}")
    return [header.index(name) for name in COLUMNS]


def _cells(row: list[str], places: list[int]) -> tuple[str, str]:
    if len(row) <= max(places):
        raise ValueError(f"{len(row)} cells, too few")
    return row[places[0]], row[places[1]]
