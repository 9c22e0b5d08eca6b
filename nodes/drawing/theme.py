"""Colours for light and dark backgrounds that remain distinct with any colour vision; terms also differ by marker and
dashes."""

from __future__ import annotations

from dataclasses import dataclass

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ((), (5, 1.5), (1.5, 1.2), (6, 1.5, 1.5, 1.5))
"""Lines of terms 1 to 8 are solid, of terms 9 to 16 dashed, and so on."""


@dataclass(frozen=True)
class Theme:
    """Attributes:
    ground, ink, muted, grid: background, text, lesser text, lines behind the data.
    terms: one colour per term, repeated from the start when there are more terms.
    models: the same for models, which are drawn as areas.
    together, against: the two ends of a scale whose middle is the ground."""

    ground: str
    ink: str
    muted: str
    grid: str
    terms: tuple[str, ...]
    models: tuple[str, ...]
    together: str
    against: str

    def term(self, i: int) -> str:
        return self.terms[i % len(self.terms)]

    def model(self, i: int) -> str:
        return self.models[i % len(self.models)]


LIGHT = Theme(
    ground="#ffffff",
    ink="#1b1b1f",
    muted="#5c5c66",
    grid="#dedee4",
    terms=("#0a559c", "#d9541e", "#16a085", "#b0448c", "#8a6a00", "#2f9fd0", "#4b4b55", "#6a3fb5"),
    models=("#7a7f8c", "#3f6f9f", "#c2a14d", "#7fae9a", "#9a6fa3", "#b8bcc6", "#4a4f5c", "#d9c7a0"),
    together="#e08214",
    against="#2f79b9",
)

DARK = Theme(
    ground="#1f1f23",
    ink="#ececf1",
    muted="#a9a9b4",
    grid="#3b3b43",
    terms=("#4a9fe8", "#ff8b47", "#38d9a9", "#f2a7d6", "#f0dd4a", "#b8e2ff", "#9a9aa6", "#b59cff"),
    models=("#8b90a0", "#4f86bd", "#d0ae58", "#7fb8a2", "#b184ba", "#c6cad4", "#5f6575", "#e6d7b3"),
    together="#d9811e",
    against="#3d86c6",
)

THEMES = {"light": LIGHT, "dark": DARK}


def mix(first: str, second: str, share: float) -> str:
    """Return the colour ``share`` of the way from the first to the second."""
    parts = [(int(first[k : k + 2], 16), int(second[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def luminance(color: str) -> float:
    """Return the relative luminance, 0 black to 1 white (WCAG 2)."""
    channels = [int(color[k : k + 2], 16) / 255.0 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio: 1 for equal colours to 21 for black on white (WCAG 2)."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def ink_on(color: str) -> str:
    """Return black or white, whichever is easier to read on this colour."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, color))
