"""Arrange pictures in a table with labels along its axes."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 4  # pixels between cells
SMALLEST = 96  # cells are enlarged by whole factors to at least this shorter side, so that labels fit
TEXT = 14  # pixels
PAPER, INK = (255, 255, 255), (20, 20, 20)
_ROUGH = ImageDraw.Draw(Image.new("RGB", (1, 1)))


def draw_grid(
    cells: Sequence[Sequence[Image.Image]], rows: Sequence[str], columns: Sequence[str], title: str = ""
) -> Image.Image:
    """Combine a table of equally sized pictures into one picture.

    Args:
        cells: rows of pictures.
        rows, columns: labels; empty labels take no space, and long labels widen the table.
        title: text above the table.
    """
    pictures = [[_enlarged(cell) for cell in row] for row in cells]
    width, height = pictures[0][0].size
    font = ImageFont.load_default(TEXT)
    left = max((_width(label, font) + 2 * GAP for label in rows if label), default=0)
    line = TEXT + 2 * GAP
    top = (line if title else 0) + (line if any(columns) else 0)
    column = max([width, *(_width(label, font) for label in columns)])
    across = left + GAP + max(len(row) for row in pictures) * (column + GAP)
    down = top + GAP + len(pictures) * (height + GAP)
    whole = Image.new("RGB", (max(across, _width(title, font) + 2 * GAP), down), PAPER)
    draw = ImageDraw.Draw(whole)
    draw.text((GAP, GAP), title, INK, font)
    for j, label in enumerate(columns):
        middle = left + GAP + j * (column + GAP) + column // 2
        draw.text((middle - _width(label, font) // 2, top - line + GAP), label, INK, font)
    for i, row in enumerate(pictures):
        upper = top + GAP + i * (height + GAP)
        draw.text((GAP, upper + (height - TEXT) // 2), rows[i] if rows else "", INK, font)
        for j, picture in enumerate(row):
            whole.paste(picture, (left + GAP + j * (column + GAP) + (column - width) // 2, upper))
    return whole


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Place pictures below each other."""
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), PAPER)
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Place pictures of one height beside each other, without gaps."""
    whole = Image.new("RGB", (sum(p.width for p in pictures), pictures[0].height), PAPER)
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    return whole


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = -(-SMALLEST // min(picture.size))
    size = (picture.width * factor, picture.height * factor)
    return picture if factor == 1 else picture.resize(size, Image.Resampling.NEAREST)


def _width(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return int(_ROUGH.textlength(label, font)) + 1 if label else 0
