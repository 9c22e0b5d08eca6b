"""The treatment of a picture's transparent parts."""

from dataclasses import dataclass

from PIL import ImageColor

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Transparency:
    """How transparent parts are trained on.

    Attributes:
        background: colour behind them, red, green and blue from 0 to 255.
        as_mask: leave them out of the loss.
    """

    background: Colour = WHITE
    as_mask: bool = False

    @property
    def encoding(self) -> dict[str, str]:
        """Part of the cache key for pictures with transparency; {} for the default."""
        encoding = {} if self.background == WHITE else {"background": hex_colour(self.background)}
        return {**encoding, "mask": "alpha"} if self.as_mask else encoding


def hex_colour(colour: Colour) -> str:
    """Format a colour as #rrggbb."""
    return "#" + bytes(colour).hex()


def colour_of(text: str) -> Colour:
    """Parse a colour's name or #rrggbb to red, green and blue; ValueError for anything else."""
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise ValueError("expected a colour, for example white, black or #808080") from None
    return red, green, blue


def as_hex(text: str) -> str:
    """Normalize a colour to #rrggbb; ValueError if it is not a colour."""
    return hex_colour(colour_of(text))
