"""The captions' part of the scan summary."""

from collections.abc import Mapping, Sequence

from .captions import LISTS, SIDECARS
from .config import DataConfig
from .picture import CaptionProblem, Picture, printable

# Files that --captions reads, and the message if there are none.
READS = {"sidecar": SIDECARS, "metadata": LISTS}
NOTHING = {
    "sidecar": "no picture has a .txt or .caption file of its name",
    "metadata": "no metadata.jsonl or metadata.csv names a picture",
}


def caption_summary(
    config: DataConfig,
    pictures: Sequence[Picture],
    problems: Sequence[CaptionProblem],
    caption_files: Mapping[str, int],
    examples: int,
) -> list[str]:
    """Return lines about captions: present, missing, unusable, and files that another --captions would read.

    Args:
        caption_files: number of caption files by ending.
        examples: maximal number of lines per problem.
    """
    beside = _unread(config.captions, caption_files)
    if config.captions == "none":
        return [f"captions  not used{beside}"]
    missing = [picture for picture in pictures if picture.caption is None]
    if len(missing) == len(pictures):
        none = f"{NOTHING[config.captions]}: all {len(pictures)} are trained under the empty prompt"
        lines = [f"captions  none found, {none}{beside}"]
    else:
        lines = [f"captions  {len(pictures) - len(missing)} found, {len(missing)} missing (trained as empty){beside}"]
        lines += first([f"  missing: {printable(picture.name)}" for picture in missing], examples)
    places = (printable(p.path) + (f", line {p.line}" if p.line is not None else "") for p in problems)
    unusable = [f"  cannot be used: {place}: {problem.reason}" for place, problem in zip(places, problems, strict=True)]
    return lines + first(unusable, examples)


def _unread(kind: str, caption_files: Mapping[str, int]) -> str:
    """Name the files that another --captions would read."""
    parts = []
    for other, endings in READS.items():
        there = [f"{caption_files[ending]} {ending}" for ending in endings if caption_files.get(ending)]
        if there and other != kind:
            parts.append(f"--captions {other} would read {' and '.join(there)}")
    return "".join(f"; {part}" for part in parts)


def first(lines: Sequence[str], examples: int) -> list[str]:
    """Return the first lines, and a line with the number of further lines."""
    rest = len(lines) - examples
    return [*lines[:examples], *([f"  and {rest} more"] if rest > 0 else [])]
