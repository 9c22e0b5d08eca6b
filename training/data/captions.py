"""Captions of pictures: a text file beside each, or one list for a folder."""

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .image_file import told
from .picture import CaptionProblem
from .walk import FileStamp

METADATA = "metadata.jsonl"
SIDECAR = ".txt"

Captions = dict[str, str]


def is_caption_file(name: str, stems: set[str]) -> bool:
    """Whether a file belongs to the captions: metadata.jsonl, or a .txt beside an image of the same stem."""
    path = PurePosixPath(name)
    return path.name == METADATA or (path.suffix.lower() == SIDECAR and stem(name) in stems)


def stem(name: str) -> str:
    """A name without its ending, the same however the file system composes accents."""
    return _composed(str(PurePosixPath(name).with_suffix("")))


def read_captions(
    kind: str, files: Iterable[FileStamp], pictures: Iterable[str]
) -> tuple[Captions, list[CaptionProblem]]:
    """Captions of ``pictures`` by name, and what could not be used.

    Args:
        kind: "none", "sidecar" or "metadata".
        files: all files of the folder.
        pictures: names of the files that are images.
    """
    if kind == "sidecar":
        return _sidecars(files, pictures)
    if kind == "metadata":
        return _metadata(files, pictures)
    return {}, []


def _sidecars(files: Iterable[FileStamp], pictures: Iterable[str]) -> tuple[Captions, list[CaptionProblem]]:
    texts = {stem(file.name): file.path for file in files if file.path.suffix.lower() == SIDECAR}
    captions: Captions = {}
    problems: dict[Path, CaptionProblem] = {}
    for name in pictures:
        path = texts.get(stem(name))
        if path is None or path in problems:
            continue
        try:
            caption = _one_line(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeError) as error:
            problems[path] = CaptionProblem(path, None, told(error))
            continue
        if caption:
            captions[name] = caption
    return captions, list(problems.values())


def _metadata(files: Iterable[FileStamp], pictures: Iterable[str]) -> tuple[Captions, list[CaptionProblem]]:
    """``file_name`` is relative to the folder of its metadata.jsonl; the first line about a picture holds."""
    names = {_composed(name): name for name in pictures}
    everything = {_composed(file.name) for file in files}
    captions: Captions = {}
    problems: list[CaptionProblem] = []
    for file in files:
        path = PurePosixPath(file.name)
        if path.name != METADATA:
            continue
        for number, line in _lines(file.path, problems):
            try:
                about, caption = _record(line)
                about = _composed(str(path.parent / about.replace("\\", "/")))
                _note(captions, names, everything, about, caption)
            except ValueError as error:
                problems.append(CaptionProblem(file.path, number, told(error)))
    return captions, problems


def _lines(path: Path, problems: list[CaptionProblem]) -> list[tuple[int, bytes]]:
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        problems.append(CaptionProblem(path, None, told(error)))
        return []
    return [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]


def _record(line: bytes) -> tuple[str, str]:
    """``file_name`` and ``text`` of a line of JSON; ValueError where it has none."""
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {told(error)}") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    for key in ("file_name", "text"):
        if not isinstance(record.get(key), str):
            raise ValueError(f"no string {key!r}")
    return record["file_name"], record["text"]


def _note(captions: Captions, names: dict[str, str], everything: set[str], about: str, caption: str) -> None:
    if about not in everything:
        raise ValueError(f"no file {about!r}")
    name = names.get(about)
    if name is None:  # a file that is left out: reported as such
        return
    if name in captions:
        raise ValueError(f"a second caption of {about!r}")
    if text := _one_line(caption):
        captions[name] = text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
