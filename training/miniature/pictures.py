"""Which pictures the miniature world has: for each its style, its attributes and its caption, from the seed alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..seeds import seed_of, uniform
from .styles import BACKGROUND, HAIR, SKIN, Style

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """One drawing.

    Args:
        style: how it is drawn.
        attributes: the value of each attribute that it shows.
        caption: what it is told to be in training.
        options: DiceBear's.
    """

    style: Style
    attributes: dict[str, str]
    caption: str
    options: dict[str, Any]


def pictures(style: Style, count: int, split: str, names_style: float) -> list[Picture]:
    """The pictures of one style, different ones in each split.

    Args:
        style: how they are drawn.
        count: how many.
        split: "train" or "test".
        names_style: probability of a caption with the style's name; the rest say "a face".
    """
    return [_picture(style, f"{split}-{index}", names_style) for index in range(count)]


def caption(words: str, attributes: dict[str, str], glasses: bool = False) -> str:
    """What a prompt says: `a face, dark skin, red hair, blue background`."""
    told = {name: f"{value} {name}" for name, value in attributes.items()} | ({"glasses": "glasses"} if glasses else {})
    return ", ".join([words, *(told[name] for name in ("skin", "hair", "glasses", "background") if name in told)])


def _picture(style: Style, key: str, names_style: float) -> Picture:
    place = ("miniature", style.name, key)
    attributes = {"background": _one_of([*BACKGROUND], *place, "background")}
    options: dict[str, Any] = {**style.fixed, "seed": f"{style.name}-{key}"}
    options["backgroundColor"] = [BACKGROUND[attributes["background"]]]
    glasses = False
    if style.is_face:
        attributes["skin"] = _one_of([*SKIN], *place, "skin")
        options[style.skin] = [SKIN[attributes["skin"]]]
    if style.hair:
        attributes["hair"] = _one_of([*HAIR], *place, "hair")
        options[style.hair] = [HAIR[attributes["hair"]]]
    if style.glasses:
        glasses = uniform(*place, "glasses") < 0.3
        options |= style.glasses[0 if glasses else 1]
    named = not style.is_face or uniform(*place, "named") < names_style
    told = {name: value for name, value in attributes.items() if uniform(*place, "told", name) < 0.9}
    return Picture(style, attributes, caption(style.words if named else "a face", told, glasses), options)


def _one_of(values: Sequence[T], *place: str) -> T:
    return values[seed_of(*place) % len(values)]
