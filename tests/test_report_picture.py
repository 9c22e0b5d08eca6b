"""The report's picture: its size, both themes, and that nothing is cut off or lies on something else."""

import dataclasses
import itertools
import math
import warnings
from typing import Any

import pytest
import torch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rigs.traces import made_trace

LONG = "a label so long that nobody would write it but somebody surely will"
RUNS = {
    "one term, one call": {"terms": ("control",), "calls": 1},
    "the paper's graph": {"calls": 25},
    "eight terms": {
        "terms": tuple(f"{LONG} {i}" for i in range(8)), "calls": 25, "batch": 3,
        "weights": (2.5, 2.5, -1.5, 1.0, 3.0, 2.0, -0.5, 0.0), "models": ("base", *(f"{LONG} {i}" for i in range(8))),
        "windows": ((0.0, 1.0), (0.0, 0.4), (0.3, 0.8), (0.0, 1.0), (0.0, 1.0), (0.5, 1.0), (0.0, 1.0), (0.0, 1.0)),
    },
    "twenty terms": {"terms": tuple(f"term {i}" for i in range(20)), "calls": 40},
    "a hundred calls": {"terms": ("$x_{prompt}$", "\\alpha^", "a_b"), "calls": 100, "batch": 4, "start": 0.52},
    "zero terminal SNR": {"sigma_max": 4518.0},
    "no terms": {"terms": (), "models": ("base",)},
    "nothing measured": {"unmeasured": {0, 1}},
    "nothing acted": {"weights": (0.0, 0.0)},
    "a word without a break": {"terms": ("m" * 400, "control")},
    "another script": {"terms": ("概念", "制御 prompt")},
}  # fmt: skip


@pytest.fixture(scope="module")
def drawing(pack: Any) -> Any:
    return pack.module("nodes.drawing.library").drawing


@pytest.fixture(autouse=True)
def _no_warnings_of_missing_letters() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def sheet_of(
    pack: Any, drawing: Any, run: str, draw: str = "everything", theme: str = "dark", pixels: int = 1200
) -> Any:
    trace = made_trace(pack.module("gcfg_core.trace.trace"), **RUNS[run])
    return drawing("report").Report(trace, draw).sheet(drawing("theme").THEMES[theme], pixels)


def texts(sheet: Any) -> list[tuple[str, Bbox]]:
    """Every visible text of a drawn figure with its box in pixels."""
    sheet.figure.draw_without_rendering()
    renderer = sheet.figure.canvas.get_renderer()
    found = [text for text in sheet.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in _of_drawn_ticks(sheet.figure, found)]


def _of_drawn_ticks(figure: Any, found: list[Text]) -> list[Text]:
    """Without the labels of ticks beyond the ends of an axis, which matplotlib keeps but does not draw."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn = {id(tick) for tick in axis._update_ticks()}
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if id(tick) not in drawn:
                    hidden |= {id(tick.label1), id(tick.label2)}
    return [text for text in found if id(text) not in hidden]


@pytest.mark.parametrize("run", RUNS)
class TestNothingOverflows:
    @pytest.mark.parametrize("draw", ["overview", "everything", "directions"])
    def test_every_text_is_inside_the_picture(self, pack: Any, drawing: Any, run: str, draw: str) -> None:
        sheet = sheet_of(pack, drawing, run, draw)
        width, height = sheet.figure.bbox.size
        for text, box in texts(sheet):
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, f"{text!r} is cut off"

    def test_no_text_lies_on_another(self, pack: Any, drawing: Any, run: str) -> None:
        for (one, a), (other, b) in itertools.combinations(texts(sheet_of(pack, drawing, run)), 2):
            common = Bbox.intersection(a, b)
            assert common is None or min(common.width, common.height) < 2.0, f"{one!r} lies on {other!r}"

    def test_panels_do_not_touch(self, pack: Any, drawing: Any, run: str) -> None:
        sheet = sheet_of(pack, drawing, run)
        for one, other in itertools.combinations(sheet.figure.axes, 2):
            assert not one.get_window_extent().overlaps(other.get_window_extent())


class TestPicture:
    @pytest.mark.parametrize("pixels", [512, 1000, 1200, 1999, 4096])
    def test_is_as_wide_as_asked(self, pack: Any, drawing: Any, pixels: int) -> None:
        picture = sheet_of(pack, drawing, "the paper's graph", "pushes", pixels=pixels).pixels()
        assert picture.shape[0] == 1 and picture.shape[2:] == (pixels, 3)
        assert picture.dtype == torch.float32 and float(picture.min()) >= 0.0 and float(picture.max()) <= 1.0

    def test_keeps_its_proportions(self, pack: Any, drawing: Any) -> None:
        small, large = (sheet_of(pack, drawing, "eight terms", pixels=pixels).pixels() for pixels in (600, 1200))
        assert abs(2 * small.shape[1] - large.shape[1]) <= 2

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("run", ["the paper's graph", "nothing acted"])
    def test_ground_is_the_themes(self, pack: Any, drawing: Any, theme: str, run: str) -> None:
        picture = sheet_of(pack, drawing, run, theme=theme).pixels()[0]
        light = float(picture[0, 0].mean()) > 0.5
        assert light == (theme == "light")
        assert float((picture - picture[0, 0]).abs().amax()) > 0.5, "nothing was drawn"

    def test_the_same_trace_gives_the_same_picture(self, pack: Any, drawing: Any) -> None:
        one, two = (sheet_of(pack, drawing, "eight terms").pixels() for _ in range(2))
        assert torch.equal(one, two)

    def test_every_choice_draws_something(self, pack: Any, drawing: Any) -> None:
        choices = pack.node("GCFG_Report").INPUT_TYPES()["required"]["draw"][1]["options"]
        heights = {draw: sheet_of(pack, drawing, "the paper's graph", draw).pixels().shape[1] for draw in choices}
        assert heights["everything"] == max(heights.values()) and len(heights) > 1

    def test_tells_a_run_that_is_not_the_first(self, pack: Any, drawing: Any) -> None:
        trace = made_trace(pack.module("gcfg_core.trace.trace"))
        trace.runs = 3
        sheet = drawing("report").Report(trace, "pushes").sheet(drawing("theme").LIGHT, 800)
        assert any(text.startswith("run 3 of this guider: 6 calls") for text, _ in texts(sheet))

    @pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
    def test_tells_from_which_call_on_it_overflowed(self, pack: Any, drawing: Any, value: float) -> None:
        """A line as far as there are numbers; where there are none, why."""
        trace = made_trace(pack.module("gcfg_core.trace.trace"), calls=6)
        whole = list(trace.records)
        for first in (0, 3):
            broken = {"sizes": ((value,),) * 2, "pushes": ((value,),) * 2, "total": (value,)}
            trace.records[:] = [*whole[:first], *(dataclasses.replace(r, **broken) for r in whole[first:])]
            shown = texts(drawing("report").Report(trace, "everything").sheet(drawing("theme").LIGHT, 800))
            assert any("From call 1 on" in text for text, _ in shown) == (first == 0)
            assert not any("Not measured" in text for text, _ in shown)

    def test_lines_are_the_traces_numbers(self, pack: Any, drawing: Any) -> None:
        trace = made_trace(pack.module("gcfg_core.trace.trace"), weights=(2.5, -1.0))
        sheet = drawing("report").Report(trace, "pushes").sheet(drawing("theme").LIGHT, 800)
        drawn = [line.get_ydata() for line in sheet.figure.axes[0].lines]
        for sign, i in ((1.0, 0), (-1.0, 1)):
            expected = [sign * record.pushes[i][0] for record in trace.records]
            assert any(len(ys) == len(expected) and list(ys) == pytest.approx(expected) for ys in drawn)


class TestScale:
    """U19: a few large values, as of the first steps, do not squash the others."""

    def scale(self, pack: Any, drawing: Any, values: list[float]) -> Any:
        lines, series = drawing("lines"), pack.module("gcfg_core.trace.series").Series
        return lines.scale_of([lines.Line("a", 0, series(values, values, values))])

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_small_values_keep_their_part_of_the_height(self, pack: Any, drawing: Any, sign: float) -> None:
        scale = self.scale(pack, drawing, [sign * value for value in (80.0, 9.0, 1.0, 1.1, 0.9, 0.5)])
        depths = [scale.depth(sign * value) for value in (80.0, 1.0, 0.0)]
        assert 0.8 <= scale.linear <= 1.2 and abs(depths[1] - depths[2]) > 0.12
        order = sorted([-5.0, 0.0, 0.5, 1.0, 9.0, 80.0], key=scale.depth, reverse=True)
        assert order == sorted(order)
        names = [name for _, name in scale.ticks]
        assert "0" in names and ("30" if sign > 0 else "-30") in names
        assert all(scale.low <= at <= scale.high for at, _ in scale.ticks)

    def test_even_values_are_drawn_in_proportion(self, pack: Any, drawing: Any) -> None:
        scale = self.scale(pack, drawing, [4.0, 3.0, 2.0, 1.0])
        assert scale.linear == 0.0 and not scale.ticks
        assert scale.depth(2.0) - scale.depth(3.0) == pytest.approx(scale.depth(1.0) - scale.depth(2.0))

    @pytest.mark.parametrize("values", [[0.0, 0.0], [math.nan], []])
    def test_nothing_to_draw_is_no_error(self, pack: Any, drawing: Any, values: list[float]) -> None:
        assert (self.scale(pack, drawing, values).low, self.scale(pack, drawing, values).high) == (0.0, 1.0)

    def test_the_noise_levels_stand_once(self, pack: Any, drawing: Any) -> None:
        trace = made_trace(pack.module("gcfg_core.trace.trace"), weights=(2.5, -1.0))
        shown = texts(drawing("report").Report(trace, "everything").sheet(drawing("theme").LIGHT, 800))
        assert sum(text.startswith("noise") for text, _ in shown) == 1


@pytest.mark.parametrize("name", ["light", "dark"])
class TestColours:
    """WCAG asks 4.5 of small text and 3 of lines."""

    def test_text_is_readable(self, drawing: Any, name: str) -> None:
        module = drawing("theme")
        theme = module.THEMES[name]
        assert module.contrast(theme.ink, theme.ground) > 10.0
        assert module.contrast(theme.muted, theme.ground) > 4.5

    def test_terms_stand_out(self, drawing: Any, name: str) -> None:
        module = drawing("theme")
        theme = module.THEMES[name]
        assert all(module.contrast(color, theme.ground) >= 3.0 for color in theme.terms)

    @pytest.mark.parametrize("loss", ["none", "protan", "deutan", "tritan"])
    def test_the_first_terms_differ_for_every_eye(self, drawing: Any, name: str, loss: str) -> None:
        """Machado, Oliveira and Fernandes 2009, full loss of one kind of cone, in linear light."""
        seen = [_as_seen(color, loss) for color in drawing("theme").THEMES[name].terms[:4]]
        for one, other in itertools.combinations(seen, 2):
            assert float((one - other).norm()) > 0.12


SEEN = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def _as_seen(color: str, loss: str) -> torch.Tensor:
    """The colour in sRGB, 0 to 1."""
    stored = torch.tensor([int(color[k : k + 2], 16) / 255.0 for k in (1, 3, 5)])
    linear = torch.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    seen = (torch.tensor(SEEN[loss], dtype=torch.float32) @ linear).clamp(0.0, 1.0)
    return torch.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)


class TestRuler:
    def test_spread_keeps_order_and_distance(self, drawing: Any) -> None:
        spread = drawing("ruler").spread
        places = spread([1.0, 1.0, 0.9, 5.0], 0.5, 0.0, 5.0)
        assert places == pytest.approx([1.4, 1.9, 0.9, 5.0])
        assert spread([5.0, 5.0, 5.0], 0.5, 0.0, 5.0) == pytest.approx([4.0, 4.5, 5.0])
        assert spread([], 0.5, 0.0, 5.0) == []

    @pytest.mark.parametrize("text", ["short", LONG, "m" * 400, "$" * 50])
    def test_fit(self, drawing: Any, text: str) -> None:
        ruler = drawing("ruler")
        assert ruler.width_of(ruler.fit(text, 2.0, 9.5), 9.5) <= 2.05
        assert ruler.fit("short", 2.0, 9.5) == "short"

    def test_a_formula_breaks_between_its_terms(self, drawing: Any) -> None:
        terms = [f"+ 2.5 * (concept{i}(null) - base(null))" for i in range(4)]
        lines = drawing("ruler").wrap_formula("D = base(null) " + " ".join(terms), 6.0, 10.0)
        assert [line.strip() for line in lines] == ["D = base(null) " + terms[0], *terms[1:]] or len(lines) < 5
        assert " ".join(line.strip() for line in lines) == "D = base(null) " + " ".join(terms)
        assert all(line.startswith("    + ") for line in lines[1:])
