"""A picture's scale and crop in its bucket."""

from dataclasses import dataclass

from .picture import Size


@dataclass(frozen=True)
class Placement:
    """A picture resized to cover its bucket, with the middle cut out.

    Attributes:
        original: size of the picture.
        resized: size after resizing; covers the target, and equals it in one direction.
        left: columns cut off on the left of the resized (if flipped, mirrored) picture.
        top: rows cut off at the top.
        target: size of the bucket.
    """

    original: Size
    resized: Size
    left: int
    top: int
    target: Size

    @property
    def scale(self) -> float:
        """Scale factor; above 1 the picture is enlarged."""
        return max(self.target.width / self.original.width, self.target.height / self.original.height)

    @property
    def kept(self) -> float:
        """Share of the picture's area that is kept."""
        return self.target.width * self.target.height / (self.resized.width * self.resized.height)

    def box(self) -> tuple[float, float, float, float]:
        """Return the kept part in pixels of the original picture: left, top, right, bottom (not mirrored)."""
        x, y = self.original.width / self.resized.width, self.original.height / self.resized.height
        right = min((self.left + self.target.width) * x, float(self.original.width))
        bottom = min((self.top + self.target.height) * y, float(self.original.height))
        return self.left * x, self.top * y, right, bottom

    def time_ids(self) -> list[float]:
        """Return SDXL's size ids: original height, width, crop top, left, target height, width (arXiv 2307.01952,
        2.2)."""
        sizes = (*reversed(self.original), self.top, self.left, *reversed(self.target))
        return [float(value) for value in sizes]


def placement(original: Size, target: Size, flip: bool = False) -> Placement:
    """Place a picture of size ``original`` in a bucket of size ``target``."""
    scale = max(target.width / original.width, target.height / original.height)
    width = max(target.width, round(original.width * scale))
    height = max(target.height, round(original.height * scale))
    left, top = (width - target.width) // 2, (height - target.height) // 2
    if flip:
        left = width - target.width - left
    return Placement(original, Size(width, height), left, top, target)
