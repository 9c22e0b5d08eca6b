"""Read captions of pictures: a text file beside each picture, or one list for a folder."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from .caption_list import CSV, JSONL, entries
from .image_file import error_line
from .picture import CaptionProblem
from .walk import FileStamp

SIDECARS = (".txt", ".caption")  # the first existing file is used
LISTS = (JSONL, CSV)

Captions = dict[str, str]


def is_sidecar(name: str) -> bool:
    """True if the name ends like a caption file's."""
    return PurePosixPath(name).suffix.lower() in SIDECARS


def is_caption_file(name: str, stems: set[str]) -> bool:
    """True for a caption list, or a text file beside an image of the same stem."""
    return PurePosixPath(name).name in LISTS or (is_sidecar(name) and stem(name) in stems)


def caption_files(names: Iterable[str], stems: set[str]) -> Mapping[str, int]:
    """Count the caption files by ending, and lists by name."""
    paths = [PurePosixPath(name) for name in names if is_caption_file(name, stems)]
    return Counter(path.name if path.name in LISTS else path.suffix.lower() for path in paths)


def stem(name: str) -> str:
    """Return a name without its ending, in Unicode NFC, since file systems compose accents differently."""
    return _composed(str(PurePosixPath(name).with_suffix("")))


def read_captions(
    kind: str, files: Iterable[FileStamp], pictures: Iterable[str]
) -> tuple[Captions, list[CaptionProblem]]:
    """Return the captions of ``pictures`` by name, and the unusable caption files and lines.

    Args:
        kind: "none", "sidecar" or "metadata".
        files: all files of the folder.
        pictures: names of the image files.
    """
    if kind == "sidecar":
        return _sidecars(files, pictures)
    if kind == "metadata":
        return _listed(list(files), pictures)
    return {}, []


def _sidecars(files: Iterable[FileStamp], pictures: Iterable[str]) -> tuple[Captions, list[CaptionProblem]]:
    texts: dict[str, dict[str, Path]] = {}
    for file in files:
        if is_sidecar(file.name):
            texts.setdefault(stem(file.name), {})[file.path.suffix.lower()] = file.path
    captions: Captions = {}
    problems: dict[Path, CaptionProblem] = {}
    for name in pictures:
        own = texts.get(stem(name), {})
        paths = [own[ending] for ending in SIDECARS if ending in own]
        for other in paths[1:]:
            problems[other] = CaptionProblem(other, None, f"{paths[0].name} beside it is used")
        if not paths or paths[0] in problems:
            continue
        path = paths[0]
        try:
            caption = _one_line(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeError) as error:
            problems[path] = CaptionProblem(path, None, error_line(error))
            continue
        if caption:
            captions[name] = caption
    return captions, list(problems.values())


def _listed(files: list[FileStamp], pictures: Iterable[str]) -> tuple[Captions, list[CaptionProblem]]:
    """Read lists. ``file_name`` is relative to the list's folder; the first line about a picture is used."""
    names = {_composed(name): name for name in pictures}
    everything = {_composed(file.name) for file in files}
    captions: Captions = {}
    problems: list[CaptionProblem] = []
    for file in files:
        path = PurePosixPath(file.name)
        if path.name not in LISTS:
            continue
        if path.name == CSV and _composed(str(path.with_name(JSONL))) in everything:
            problems.append(CaptionProblem(file.path, None, f"{JSONL} beside it is used"))
            continue
        for entry in entries(file.path):
            if isinstance(entry, CaptionProblem):
                problems.append(entry)
                continue
            try:
                about = _composed(str(path.parent / entry.file_name.replace("\\", "/")))
                _note(captions, names, everything, about, entry.text)
            except ValueError as error:
                problems.append(CaptionProblem(file.path, entry.line, error_line(error)))
    return captions, problems


def _note(captions: Captions, names: dict[str, str], everything: set[str], about: str, caption: str) -> None:
    if about not in everything:
        raise ValueError(f"no file {about!r}")
    name = names.get(about)
    if name is None:  # a rejected file, reported elsewhere
        return
    if name in captions:
        raise ValueError(f"a second caption of {about!r}")
    if text := _one_line(caption):
        captions[name] = text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
