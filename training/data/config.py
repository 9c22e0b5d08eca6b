"""The settings about a run's pictures."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from .transparency import WHITE, Transparency, as_hex, colour_of, hex_colour

BOMB = 178_956_970
MIN_SIDE_HELP = "leave out pictures with a shorter side below this; none: a quarter of the resolution"
BACKGROUND_HELP = "colour behind transparent parts, for example white, black or #808080"


class DataConfig(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """The pictures and how they are read."""

    images: Path = Field(
        description="folder of pictures, searched with its subfolders; hidden files and folders are skipped"
    )
    resolution: int | list[int] = Field(
        512,
        description="side of a square picture in pixels; with several, each picture is trained at all that it fills",
    )
    fit: Literal["buckets", "crop"] = Field(
        "buckets", description="buckets: keep aspect ratios up to max_aspect; crop: cut every picture to a square"
    )
    bucket_step: int = Field(64, ge=1, description="sides of buckets are multiples of this many pixels")
    max_aspect: float = Field(2.0, ge=1.0, description="longer side / shorter side of the longest bucket")
    flip: float = Field(0.5, ge=0.0, le=1.0, description="probability of mirroring a picture left to right")
    background: str = Field(hex_colour(WHITE), description=BACKGROUND_HELP)
    alpha_mask: bool = Field(
        False,
        description="leave transparent parts out of the loss; each picture counts equally, whatever its area",
    )
    captions: Literal["none", "sidecar", "metadata"] = Field(
        "none",
        description="none: pictures only; sidecar: a .txt or .caption file of the same name beside each picture; "
        "metadata: file_name and text in each line of metadata.jsonl, or columns of metadata.csv",
    )
    caption_dropout: float = Field(0.1, ge=0.0, le=1.0, description="probability of training with an empty caption")
    min_side: int | None = Field(None, ge=1, description=MIN_SIDE_HELP)
    max_pixels: int = Field(BOMB, ge=1, description="a picture with more pixels is left out (decompression bombs)")
    cache: Path | None = Field(None, description="folder of cached latents and facts; none: a folder in the run")
    workers: int = Field(2, ge=0, description="threads that read pictures, and processes that read cached latents")

    @field_validator("resolution")
    @classmethod
    def _some_resolution(cls, value: int | list[int]) -> int | list[int]:
        values = value if isinstance(value, list) else [value]
        if not values or min(values) < 1:
            raise ValueError("expected one resolution or more, each at least 1 pixel")
        return value

    @field_validator("background")
    @classmethod
    def _known_colour(cls, value: str) -> str:
        return as_hex(value)

    @property
    def transparency(self) -> Transparency:
        """The treatment of transparent parts."""
        return Transparency(colour_of(self.background), self.alpha_mask)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions without duplicates, smallest first."""
        return tuple(sorted({self.resolution} if isinstance(self.resolution, int) else set(self.resolution)))

    @property
    def smallest_side(self) -> int:
        """``min_side``, or its default."""
        return self.min_side if self.min_side is not None else max(1, self.resolutions[0] // 4)

    @property
    def tiny(self) -> str:
        """Why a picture is too small, for people."""
        if self.min_side is not None:
            return f"shorter side below --min-side {self.min_side}"
        return f"shorter side below {self.smallest_side}, a quarter of --resolution {self.resolutions[0]}"

    @property
    def tiny_remedy(self) -> str:
        """How to use pictures that are too small, for people."""
        return "Lower --min-side." if self.min_side is not None else "Lower --resolution, or give --min-side."


def mirrored_text(flip: float) -> str:
    """A probability of mirroring, for people."""
    if 0.0 < flip < 1.0:
        return f"left to right with a probability of {flip:g}"
    return "left to right, always" if flip else "never"
