"""The picture of a sweep: every picture where it belongs, every text readable and on nothing else."""

import itertools
from typing import Any

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text
from torch import Tensor

WEIGHTS = ("weight of control", ("0", "1.5", "3", "4.5")), ("weight of concept", ("0", "1", "2"))
LONG = "curve_end of a label so long that nobody would write it", ("18446744073709551615", "-0.3333")
SEEDS = "seed", tuple(str(2**64 - 1 - k) for k in range(11))
GRIDS: dict[str, tuple] = {
    "starter pictures": (*WEIGHTS, (32, 32), 128),
    "large pictures": (*WEIGHTS, (1024, 768), 1024),
    "pictures made smaller": (*WEIGHTS, (832, 1216), 256),
    "one row": (WEIGHTS[0], None, (64, 64), 512),
    "one axis in two lines": (SEEDS, None, (32, 32), 128),
    "long texts": (LONG, LONG, (32, 32), 64),
    "one picture": (("seed", ("1",)), None, (8, 8), 64),
    "many": (("seed", tuple(map(str, range(64)))), ("rescale", ("0", "0.7", "0.8", "1")), (64, 64), 512),
}
"""Columns, rows, size of the pictures, size of the cells."""


class Drawing:
    """The drawing modules, and one of the grids."""

    def __init__(self, pack: Any, columns: tuple, rows: tuple | None, picture: tuple[int, int], size: int) -> None:
        self.grid, self.themes = pack.module("nodes.drawing.sweep_grid"), pack.module("nodes.drawing.theme")
        heading = pack.module("gcfg_core.guidance.sweep").Heading
        self.headings = heading(*columns), None if rows is None else heading(*rows)
        self.picture, self.size = picture, size
        self.layout = pack.module("nodes.drawing.sweep_layout").Layout(*self.headings, picture, size)

    def draw(self, pictures: list[Tensor], theme: str = "dark") -> Tensor:
        return self.grid.draw_sweep(pictures, *self.headings, self.size, self.themes.THEMES[theme])

    def pictures(self, count: int, frames: int = 1) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return [torch.rand(frames, *self.picture, 3, generator=generator) for _ in range(count)]

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Of every picture: left, top, right, bottom."""
        corners = [self.layout.corner(k) for k in range(self.layout.count)]
        return [(x, y, x + self.layout.width, y + self.layout.height) for x, y in corners]


@pytest.fixture(params=list(GRIDS))
def drawing(pack: Any, request: pytest.FixtureRequest) -> Drawing:
    return Drawing(pack, *GRIDS[request.param])


def texts(sheet: Any) -> list[tuple[Text, tuple[float, float, float, float]]]:
    """Every text with its box from the upper left."""
    sheet.pixels()
    renderer, height = sheet.figure.canvas.get_renderer(), sheet.figure.bbox.height
    boxes = [(text, text.get_window_extent(renderer)) for text in sheet.figure.findobj(Text) if text.get_text()]
    return [(text, (box.x0, height - box.y1, box.x1, height - box.y0)) for text, box in boxes]


def meet(one: tuple, other: tuple) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_nothing_lies_on_anything_else(drawing: Drawing) -> None:
    width, height = drawing.layout.whole
    sheet = drawing.grid.sweep_paper(drawing.layout, drawing.layout.count, drawing.themes.DARK)
    written = [box for _, box in texts(sheet)]
    boxes = [*drawing.boxes, *written]
    assert all(left >= 0 and top >= 0 and right <= width and bottom <= height for left, top, right, bottom in boxes)
    assert not any(meet(*pair) for pair in itertools.combinations(boxes, 2))
    wider = [(left, top, right + 3, bottom + 3) for left, top, right, bottom in drawing.boxes]
    assert not any(meet(*pair) for pair in itertools.combinations(wider, 2)), "pictures touch each other"


def test_every_title_and_label_is_there_and_readable(drawing: Drawing) -> None:
    for theme in ("light", "dark"):
        colors = drawing.themes.THEMES[theme]
        written = texts(drawing.grid.sweep_paper(drawing.layout, drawing.layout.count, colors))
        pixels = [text.get_fontsize() * text.figure.dpi / 72.0 for text, _ in written]
        assert min(pixels) >= 10 - 1e-6, "too small to read"
        assert all(drawing.themes.contrast(to_hex(text.get_color()), colors.ground) >= 4.5 for text, _ in written)
        columns, rows = drawing.headings
        said = [text.get_text() for text, _ in written]
        wanted = [columns.title, *columns.labels, *((rows.title, *rows.labels) if rows else ())]
        assert len(said) == len(wanted)
        for short, full in zip(said, wanted, strict=True):
            assert short == full or (short.endswith("…") and full.startswith(short[:-1]))


def test_texts_grow_with_the_grid(pack: Any) -> None:
    """At a width of 1500 pixels on a screen the titles of both are about as large."""
    small, large = (Drawing(pack, *WEIGHTS, (512, 512), size) for size in (512, 2048))
    shares = [one.layout.letters / one.layout.whole[0] for one in (small, large)]
    assert min(shares) > 11 / 1500 and max(shares) < 1.3 * min(shares)


def test_labels_of_columns_are_of_one_size(pack: Any) -> None:
    """The longest of them says which."""
    drawing = Drawing(pack, ("seed", ("1", "18446744073709551615")), None, (32, 32), 128)
    title, *labels = texts(drawing.grid.sweep_paper(drawing.layout, 2, drawing.themes.DARK))
    assert len({text.get_fontsize() for text, _ in labels}) == 1
    assert labels[0][0].get_fontsize() < title[0].get_fontsize()


def test_labels_stand_beside_their_pictures(pack: Any) -> None:
    drawing = Drawing(pack, *GRIDS["starter pictures"])
    written = texts(drawing.grid.sweep_paper(drawing.layout, 12, drawing.themes.DARK))
    middles = {text.get_text(): ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for text, box in written[1:5]}
    for k, label in enumerate(WEIGHTS[0][1]):
        left, top, right, _ = drawing.boxes[k]
        assert left < middles[label][0] < right and middles[label][1] < top
    for k, (text, (_, top, right, bottom)) in enumerate(written[6:]):
        box = drawing.boxes[4 * k]
        assert text.get_text() == WEIGHTS[1][1][k]
        assert right <= box[0] and box[1] < (top + bottom) / 2 < box[3]


def test_pictures_are_what_was_given(drawing: Drawing) -> None:
    count = min(drawing.layout.count, 12)
    pictures = drawing.pictures(count)
    grid = drawing.draw(pictures)
    assert grid.shape == (1, *reversed(drawing.layout.whole), 3)
    for (left, top, right, bottom), picture in zip(drawing.boxes[:count], pictures, strict=True):
        shown, factor = grid[0, top:bottom, left:right], (right - left) // drawing.picture[1]
        assert max(shown.shape[:2]) <= drawing.size
        if factor:  # enlarged by a whole number: every pixel as a square of the same colour
            assert shown.shape[:2] == (factor * drawing.picture[0], factor * drawing.picture[1])
            assert torch.equal(shown, picture[0].repeat_interleave(factor, 0).repeat_interleave(factor, 1))
            assert 2 * max(shown.shape[:2]) > min(drawing.size, 16000 // drawing.layout.across)
        else:
            assert abs(float(shown.mean() - picture.mean())) < 0.01


def test_one_grid_for_each_frame(pack: Any) -> None:
    drawing = Drawing(pack, *GRIDS["starter pictures"])
    pictures = drawing.pictures(12, frames=3)
    grids = drawing.draw(pictures)
    singles = [drawing.draw([picture[frame : frame + 1] for picture in pictures]) for frame in range(3)]
    assert torch.equal(grids, torch.cat(singles))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_places_of_missing_pictures_say_so(pack: Any, theme: str) -> None:
    drawing = Drawing(pack, *GRIDS["one axis in two lines"])
    colors = drawing.themes.THEMES[theme]
    written = texts(drawing.grid.sweep_paper(drawing.layout, 3, colors))
    empty = [(text, box) for text, box in written if text.get_text() == drawing.grid.NOT_DONE]
    assert len(empty) == 11 - 3
    for (text, inner), outer in zip(empty, drawing.boxes[3:], strict=True):
        assert outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
        assert drawing.themes.contrast(to_hex(text.get_color()), colors.grid) >= 3.0
    whole, part = drawing.draw(drawing.pictures(11), theme), drawing.draw(drawing.pictures(3), theme)
    differ = (whole != part).any(-1)[0].nonzero()
    assert differ[:, 0].min() >= drawing.boxes[3][1], "a picture that is done has changed"


def test_the_largest_sweeps_can_be_shown(pack: Any) -> None:
    for columns, rows in ((256, 1), (1, 256), (16, 16)):
        axes = [("seed", tuple(map(str, range(count)))) for count in (columns, rows)]
        assert max(Drawing(pack, *axes, (1024, 1024), 4096).layout.whole) < 2**15
