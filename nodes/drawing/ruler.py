"""Measure text before there is a picture, so that everything gets the room it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager

SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
"""Fonts that matplotlib includes."""
OTHER_SCRIPTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Microsoft YaHei", "Yu Gothic", "Meiryo",
    "PingFang SC", "Hiragino Sans", "Hiragino Sans GB", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Malgun Gothic",
    "Apple SD Gothic Neo", "Noto Sans CJK KR", "Noto Sans KR", "Arial Unicode MS",
)  # fmt: skip
"""Fonts for scripts that those lack, used if they are installed."""
DPI = 100
ELLIPSIS = "…"


@cache
def families(mono: bool = False) -> list[str]:
    """Return font names; each letter is drawn in the first font that has it."""
    known = set(fontManager.get_font_names())
    return [MONO if mono else SANS, *(name for name in OTHER_SCRIPTS if name in known)]


@cache
def _renderer() -> object:
    return FigureCanvasAgg(Figure(figsize=(1, 1), dpi=DPI)).get_renderer()


@cache
def width_of(text: str, points: float, bold: bool = False, mono: bool = False) -> float:
    """Return the width of one line of text in inches."""
    font = FontProperties(family=families(mono), size=points, weight="bold" if bold else "normal")
    return _renderer().get_text_width_height_descent(text, font, False)[0] / DPI  # type: ignore[attr-defined]


def line_height(points: float) -> float:
    """Return the distance between lines of text in inches."""
    return 1.35 * points / 72.0


def one_line(text: str) -> str:
    return " ".join(text.split())


def fit(text: str, width: float, points: float, bold: bool = False) -> str:
    """Return the text on one line, cut off at the end if it is wider than ``width`` inches."""
    text = one_line(text)
    if width_of(text, points, bold) <= width + 0.03:
        return text
    kept = len(text)
    while kept > 1 and width_of(text[:kept].rstrip() + ELLIPSIS, points, bold) > width:
        kept -= 1
    return text[:kept].rstrip() + ELLIPSIS


def wrap(text: str, width: float, points: float) -> list[str]:
    """Split a sentence into lines between words."""
    lines = [""]
    for word in one_line(text).split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if not lines[-1] or width_of(joined, points) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def wrap_formula(text: str, width: float, points: float, most_lines: int = 12) -> list[str]:
    """Split a formula into lines, between its terms if possible, else between words, else anywhere."""
    indent = "    "
    lines = [""]
    for piece in _pieces(one_line(text), width - width_of(indent, points, mono=True), points):
        joined = f"{lines[-1]} {piece}" if lines[-1].strip() else lines[-1] + piece
        if width_of(joined, points, mono=True) <= width:
            lines[-1] = joined
        else:
            lines.append(indent + piece)
    if len(lines) > most_lines:
        lines = [*lines[: most_lines - 1], f"{indent}{ELLIPSIS} {len(lines) - most_lines + 1} more lines"]
    return lines


def _pieces(text: str, width: float, points: float) -> Iterator[str]:
    """Yield the terms of a formula; a term wider than ``width`` in parts."""
    for term in _terms(text):
        if width_of(term, points, mono=True) <= width:
            yield term
            continue
        for word in term.split(" "):
            yield from _cut(word, width, points)


def _cut(word: str, width: float, points: float) -> Iterator[str]:
    while width_of(word, points, mono=True) > width:
        kept = len(word) - 1
        while kept > 1 and width_of(word[:kept], points, mono=True) > width:
            kept -= 1
        yield word[:kept]
        word = word[kept:]
    yield word


def _terms(text: str) -> list[str]:
    """Split before every + or - outside brackets."""
    words, depth = text.split(" "), 0
    terms: list[list[str]] = [[]]
    for word in words:
        if word in ("+", "-") and depth == 0:
            terms.append([])
        terms[-1].append(word)
        depth = max(depth + sum(word.count(c) for c in "([{") - sum(word.count(c) for c in ")]}"), 0)
    return [" ".join(words) for words in terms if words]


def spread(wanted: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Move positions apart until no two are closer than ``step``: in order, near the wanted ones, within low .. high if
    they fit."""
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    places = [min(max(wanted[k], low), high) for k in order]
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + step)
    limit = high
    for k in reversed(range(len(places))):
        places[k] = min(places[k], limit)
        limit = places[k] - step
    return [place for _, place in sorted(zip(order, places, strict=True))]
