"""What becomes of the transparent parts of a picture."""

from dataclasses import dataclass

from PIL import ImageColor

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Transparency:
    """How transparent parts are trained on.

    Attributes:
        background: colour that they are composited onto, red, green and blue from 0 to 255.
        as_mask: the loss leaves them out.
    """

    background: Colour = WHITE
    as_mask: bool = False

    @property
    def encoding(self) -> dict[str, str]:
        """What it adds to the names of the latents of pictures with transparency; nothing for the default."""
        found = {} if self.background == WHITE else {"background": hex_colour(self.background)}
        return {**found, "mask": "alpha"} if self.as_mask else found


def hex_colour(colour: Colour) -> str:
    """#rrggbb."""
    return "#" + bytes(colour).hex()


def colour_of(text: str) -> Colour:
    """Red, green and blue of a colour's name or of #rrggbb; ValueError for anything else."""
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise ValueError("expected a colour such as white, black or #808080") from None
    return red, green, blue


def as_hex(text: str) -> str:
    """A colour as #rrggbb, so that it has a single name; ValueError where it is none."""
    return hex_colour(colour_of(text))
