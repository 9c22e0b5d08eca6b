"""The scan summary: usable pictures, rejected files, buckets and captions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .buckets import make_buckets
from .caption_summary import caption_summary, first
from .config import DataConfig, mirrored_text
from .picture import CaptionProblem, Picture, Rejected, printable
from .placement import placement

MUCH_CROPPED = 0.75


def scan_summary(
    config: DataConfig,
    pictures: Sequence[Picture],
    rejected: Sequence[Rejected],
    problems: Sequence[CaptionProblem],
    hidden: int,
    caption_files: Mapping[str, int],
    examples: int,
) -> str:
    """Return the summary as text; see `Scan.summary`."""
    lines = [f"{len(pictures)} pictures in {printable(config.images)}, {len(rejected)} files left out"]
    if hidden:
        lines.append(f"{hidden} hidden files or folders passed over")
    lines.append("formats   " + _counts(picture.format for picture in pictures))
    lines.append("sides     " + _sides(pictures))
    lines += altered(config, pictures)
    lines += _buckets(config, pictures)
    lines += caption_summary(config, pictures, problems, caption_files, examples)
    lines += _rejected(config, rejected, examples)
    return "\n".join(lines)


def _counts(values: Iterable[str]) -> str:
    return ", ".join(f"{count} {value}" for value, count in sorted(Counter(values).items(), key=lambda e: (-e[1], e)))


def _sides(pictures: Sequence[Picture]) -> str:
    """Return minimum, maximum and median of the shorter and the longer side."""
    parts = []
    for name, side in (("shorter", min), ("longer", max)):
        values = sorted(side(picture.size) for picture in pictures)
        parts.append(f"{name} {values[0]} to {values[-1]}, median {values[len(values) // 2]}")
    return "; ".join(parts)


def altered(config: DataConfig, pictures: Sequence[Picture]) -> list[str]:
    """Return lines about how training pictures differ from their files: mirroring and transparency."""
    return [f"mirrored  {mirrored_text(config.flip)} (--flip)", *_transparency(config, pictures)]


def _transparency(config: DataConfig, pictures: Sequence[Picture]) -> list[str]:
    count = sum(picture.transparent for picture in pictures)
    if not count:
        return ["alpha     no picture has transparent parts: --alpha-mask does nothing"] if config.alpha_mask else []
    parts = [f"{count} pictures have transparent parts", f"composited onto {config.background} (--background)"]
    parts.append("left out of the loss (--alpha-mask)" if config.alpha_mask else "trained on like the rest")
    return ["alpha     " + ", ".join(parts)]


def _buckets(config: DataConfig, pictures: Sequence[Picture]) -> list[str]:
    buckets = make_buckets([picture.size for picture in pictures], config)
    lines = [f"{'bucket':<12}{'pictures':>9}{'enlarged':>10}{'cropped':>9}  (cropped: more than a quarter is cut off)"]
    rows: list[tuple[int, int, int]] = []
    for bucket in buckets:
        places = [placement(pictures[index].size, bucket.size) for index in bucket.members]
        enlarged, cropped = sum(p.scale > 1.0 for p in places), sum(p.kept < MUCH_CROPPED for p in places)
        rows.append((len(places), enlarged, cropped))
        lines.append(_row(str(bucket.size), *rows[-1]))
    return lines if len(rows) == 1 else [*lines, _row("together", *map(sum, zip(*rows, strict=True)))]


def _row(name: str, count: int, enlarged: int, cropped: int) -> str:
    return f"{name:<12}{count:>9}{enlarged:>10}{cropped:>9}"


def _rejected(config: DataConfig, rejected: Sequence[Rejected], examples: int) -> list[str]:
    lines: list[str] = []
    for kind, count in sorted(Counter(entry.kind for entry in rejected).items()):
        lines.append(f"left out, {kind}: {count}" + (f". {config.tiny_remedy}" if kind == "tiny" else ""))
        lines += first([f"  {printable(e.path)}: {e.reason}" for e in rejected if e.kind == kind], examples)
    return lines
