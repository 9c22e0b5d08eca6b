"""Choose the miniature world's pictures from the seed: style, attributes and caption of each."""

from dataclasses import dataclass
from typing import Any

from ..seeds import one_of, uniform
from .styles import BACKGROUND, GLASSES, HAIR, SKIN, Style


@dataclass(frozen=True)
class Picture:
    """A drawing.

    Args:
        style: its style.
        attributes: values of the attributes that it shows.
        caption: its caption in training.
        options: DiceBear's options.
    """

    style: Style
    attributes: dict[str, str]
    caption: str
    options: dict[str, Any]


def pictures(style: Style, count: int, split: str, names_style: float) -> list[Picture]:
    """Return the pictures of a style; the splits have different pictures.

    Args:
        style: their style.
        count: number of pictures.
        split: "train" or "test".
        names_style: probability that a caption names the style; other captions say "a face".
    """
    return [_picture(style, f"{split}-{index}", names_style) for index in range(count)]


def caption(words: str, attributes: dict[str, str]) -> str:
    """Return a caption, for example `a face, dark skin, red hair, glasses, blue background`; glasses only if
    present."""
    phrases = {name: f"{value} {name}" for name, value in attributes.items()}
    phrases[GLASSES] = GLASSES if attributes.get(GLASSES) == "yes" else ""
    return ", ".join([words, *(phrases[name] for name in ("skin", "hair", GLASSES, "background") if phrases.get(name))])


def _picture(style: Style, key: str, names_style: float) -> Picture:
    place = ("miniature", style.name, key)
    attributes = {"background": one_of([*BACKGROUND], *place, "background")}
    options: dict[str, Any] = {**style.fixed, "seed": f"{style.name}-{key}"}
    options["backgroundColor"] = [BACKGROUND[attributes["background"]]]
    worn = False
    if style.is_face:
        attributes["skin"] = one_of([*SKIN], *place, "skin")
        options[style.skin] = [SKIN[attributes["skin"]]]
    if style.hair:
        attributes["hair"] = one_of([*HAIR], *place, "hair")
        options[style.hair] = [HAIR[attributes["hair"]]]
    if style.glasses:
        worn = uniform(*place, "glasses") < 0.3
        options |= style.glasses[0 if worn else 1]
    named = not style.is_face or uniform(*place, "named") < names_style
    mentioned = {name: value for name, value in attributes.items() if uniform(*place, "told", name) < 0.9}
    mentioned[GLASSES] = "yes" if worn else "no"
    return Picture(style, attributes, caption(style.words if named else "a face", mentioned), options)
