"""The miniature world's styles of drawing, the attributes in captions, and their colours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BACKGROUND = {"red": "e5484d", "green": "46a758", "blue": "3e7bfa", "yellow": "ffd43b", "purple": "9a5bd0",
              "white": "f2f2f2"}  # fmt: skip
SKIN = {"light": "f6d3b3", "brown": "bd8252", "dark": "6b4328"}
HAIR = {"black": "17130f", "blond": "e9c860", "red": "c9432b", "gray": "a3a3a3"}
ATTRIBUTES: dict[str, tuple[str, ...]] = {"background": (*BACKGROUND,), "skin": (*SKIN,), "hair": (*HAIR,)}
GLASSES = "glasses"  # in no picture of the first concept
WORN: dict[str, tuple[str, ...]] = {GLASSES: ("no", "yes")}


@dataclass(frozen=True)
class Style:
    """A style of DiceBear, with the options that control the attributes.

    Args:
        name: NAME of its package @dicebear/NAME.
        words: its name in captions.
        art: title, author and licence of the drawings; SOURCES has their addresses.
        skin, hair: options for the colours; empty if the style does not show them clearly.
        glasses: options with glasses and options without; None if it has no glasses.
        fixed: options of every picture, to keep the attributes visible.
    """

    name: str
    words: str
    art: str
    skin: str = "skinColor"
    hair: str = "hairColor"
    glasses: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_face(self) -> bool:
        """True if it shows a person."""
        return bool(self.skin)


def _worn(option: str, with_them: list[str] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    chosen = {option: with_them} if with_them else {}
    return {f"{option}Probability": 100, **chosen}, {f"{option}Probability": 0}


_EYES = ["open", "sleep", "wink", "happy"]
# The concepts. Their words appear only in judges and titles.
TOON = Style(
    "toon-head",
    "a toon face",
    "Toon Head by Johan Melin, CC BY 4.0",
    fixed={"hairProbability": 100},
)
PIXEL = Style("pixel-art", "a pixel face", "Pixel Art by DiceBear, CC0 1.0", glasses=_worn("glasses"),
              fixed={"hatProbability": 0, "accessoriesProbability": 0})  # fmt: skip
# The open world, with captions.
OPEN = (
    Style("adventurer", "an adventurer face", "Adventurer by Lisa Wischofsky, CC BY 4.0", glasses=_worn("glasses"),
          fixed={"hairProbability": 100}),
    Style("big-smile", "a big smile face", "Custom Avatar by Ashley Seo, CC BY 4.0",
          glasses=_worn("accessories", ["glasses", "sunglasses"])),
    Style("big-ears", "a big ears face", "Face Generator by The Visual Team, CC BY 4.0"),
    Style("personas", "a persona face", "Personas by Draftbit, CC BY 4.0",
          glasses=({"eyes": ["glasses", "sunglasses"]}, {"eyes": _EYES}),
          fixed={"hair": ["long", "sideShave", "shortCombover", "curlyHighTop", "bobCut", "curly", "pigtails",
                          "curlyBun", "bobBangs", "bunUndercut", "fade", "straightBun", "extraLong", "mohawk"]}),
    Style("miniavs", "a mini face", "Miniavs by Webpixels, CC BY 4.0", glasses=_worn("glasses"),
          fixed={"hair": ["slaughter", "ponyTail", "long", "curly", "stylish", "elvis", "classic01", "classic02"]}),
    Style("open-peeps", "a peep face", "Open Peeps by Pablo Stanley, CC0 1.0", hair="",
          glasses=_worn("accessories", ["glasses", "glasses2", "glasses3", "sunglasses"]),
          fixed={"maskProbability": 0,
                 "head": ["afro", "bangs", "bangs2", "bun", "bun2", "buns", "flatTop", "long", "longAfro", "longBangs",
                          "longCurly", "medium1", "medium2", "medium3", "mediumBangs", "mediumStraight", "pomp",
                          "short1", "short2", "short3", "short4", "short5"]}),
    Style("thumbs", "a thumb", "Thumbs by DiceBear, CC0 1.0", skin="", hair=""),
    Style("shapes", "shapes", "Shapes by DiceBear, CC0 1.0", skin="", hair=""),
    Style("rings", "rings", "Rings by DiceBear, CC0 1.0", skin="", hair=""),
)  # fmt: skip
STYLES = {style.name: style for style in (TOON, PIXEL, *OPEN)}
SOURCES = {
    "toon-head": "https://www.figma.com/community/file/1589627891082866389",
    "pixel-art": "https://www.figma.com/community/file/1198754108850888330",
    "adventurer": "https://www.figma.com/community/file/1184595184137881796",
    "big-smile": "https://www.figma.com/community/file/881358461963645496",
    "big-ears": "https://www.figma.com/community/file/986078800058673824",
    "personas": "https://personas.draftbit.com",
    "miniavs": "https://www.figma.com/community/file/923211396597067458",
    "open-peeps": "https://www.openpeeps.com",
    "thumbs": "https://www.dicebear.com",
    "shapes": "https://www.dicebear.com",
    "rings": "https://www.dicebear.com",
}
