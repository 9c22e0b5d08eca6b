"""Draw the icon and the banner that the registry shows: python -m tools.brand.

The banner's pictures are sampled from the starter models. Needs the environment that `python dev.py setup` makes;
writes docs/pictures/icon.png (square, 400 pixels) and banner.png (21:9).
"""

from __future__ import annotations

import copy
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from .interpreter import run_elsewhere

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
GRAPH = ROOT / "workflows" / "api" / "starter_concept_and_control.json"
CONCEPT, CONTROL = 2.0, 4.0
CHOSEN = 3
"""Number of the picture to use: its four variants are clear."""

GROUND, INK, MUTED = "#1f1f23", "#ececf1", "#a9a9b4"
CONCEPT_COLOUR, CONTROL_COLOUR = "#4a9fe8", "#ff8b47"
BASE, CONCEPT_END, CONTROL_END = (0.17, 0.17), (0.27, 0.66), (0.66, 0.27)
"""Ends of the icon's arrows, in a square of side 1; their sum is the result."""
DPI = 100


def sample() -> list[list[Any]]:
    """Sample pictures of one seed; rows: without and with the concept, columns: without and with the prompt."""
    from rigs.host import enter_host

    enter_host()
    from rigs.pack import load_pack
    from rigs.workflows import WorkflowRunner

    graph, pack = json.loads(GRAPH.read_text(encoding="utf-8")), load_pack()
    with tempfile.TemporaryDirectory(prefix="gcfg-") as base, WorkflowRunner(pack, Path(base)) as runner:
        weights = [[(concept, control) for control in (0.0, CONTROL)] for concept in (0.0, CONCEPT)]
        return [[_picture(runner, graph, *pair) for pair in row] for row in weights]


def _picture(runner: Any, graph: dict[str, dict], concept: float, control: float) -> Any:
    from PIL import Image

    changed = copy.deepcopy(graph)
    inputs = [node["inputs"] for node in changed.values()]
    for label, weight in (("concept", concept), ("control", control)):
        next(widgets for widgets in inputs if widgets.get("label") == label)["weight"] = weight
    next(widgets for widgets in inputs if "batch_size" in widgets)["batch_size"] = CHOSEN + 1
    next(widgets for widgets in inputs if "filename_prefix" in widgets)["filename_prefix"] = f"{concept}_{control}"
    with Image.open(runner.run(changed, 25, 256).images[CHOSEN]) as image:
        return image.convert("RGB")


def draw_icon() -> bytes:
    """Draw two differences added to a base as arrows: the pack's work."""
    figure, axes = _sheet(4.0, 4.0, transparent=True)
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(FancyBboxPatch((0.1, 0.1), 0.8, 0.8, "round,pad=0.1,rounding_size=0.18", color=GROUND, linewidth=0))
    result = tuple(a + b - c for a, b, c in zip(CONCEPT_END, CONTROL_END, BASE, strict=True))
    for end, colour in ((CONCEPT_END, CONCEPT_COLOUR), (CONTROL_END, CONTROL_COLOUR)):
        axes.plot(*zip(end, result, strict=True), color=MUTED, linewidth=5, linestyle=(0, (2.2, 1.6)))
        _arrow(axes, BASE, end, colour, 17, 62)
    for place, size in ((BASE, 40), (result, 62)):
        axes.plot(*place, "o", color=INK, markersize=size, zorder=5)
    return _png(figure)


def draw_banner(pictures: list[list[Any]]) -> bytes:
    """Draw the pack's name and formula beside a picture without guidance, with either term and with both."""
    width, height, side, gap = 12.6, 5.4, 2.1, 0.14
    figure, axes = _sheet(width, height)
    axes.text(0.6, 3.85, "GCFG", color=INK, fontsize=66, weight="bold", va="center")
    axes.text(0.62, 2.85, "Mix the predictions of any number of\nmodels and conditions while sampling",
              color=INK, fontsize=18.5, va="center", linespacing=1.5)  # fmt: skip
    for line, (text, colour) in enumerate(
        (("D = base", MUTED), ("  + w · (concept - base)", CONCEPT_COLOUR), ("  + w · (prompt - base)", CONTROL_COLOUR))
    ):
        axes.text(0.62, 1.72 - 0.38 * line, text, color=colour, fontsize=16, family="monospace", va="center")
    left, top = width - 2 * side - gap - 0.35, height - 0.75
    for row, shown in enumerate(pictures):
        for column, picture in enumerate(shown):
            x, y = left + column * (side + gap), top - side - row * (side + gap)
            axes.imshow(picture, extent=(x, x + side, y, y + side), interpolation="nearest", aspect="auto")
    far, bottom = left + 2 * side + gap, top - 2 * side - gap
    axes.text((left + far) / 2, top + 0.48, "prompt", color=CONTROL_COLOUR, fontsize=15, ha="center", va="center")
    _arrow(axes, (left, top + 0.2), (far, top + 0.2), CONTROL_COLOUR, 4, 20)
    axes.text(left - 0.48, (top + bottom) / 2, "concept", color=CONCEPT_COLOUR, fontsize=15, rotation=90,
              ha="center", va="center")  # fmt: skip
    _arrow(axes, (left - 0.2, top), (left - 0.2, bottom), CONCEPT_COLOUR, 4, 20)
    axes.set(xlim=(0, width), ylim=(0, height))
    return _png(figure)


def _arrow(axes: Any, start: tuple, end: tuple, colour: str, width: float, head: float) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": head, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={**style, "color": colour, "linewidth": width, "joinstyle": "miter"})


def _sheet(width: float, height: float, transparent: bool = False) -> tuple[Any, Any]:
    """Make a figure of this many inches with axes that fill it, from 0 to its size, or from 0 to 1 if it is square."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="none" if transparent else GROUND)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    return figure, axes


def _png(figure: Any) -> bytes:
    """Return the figure as a small file of 256 colours."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        few = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> int:
    """Draw both and print their paths."""
    if (code := run_elsewhere("tools.brand")) is not None:
        return code
    for name, data in (("icon", draw_icon()), ("banner", draw_banner(sample()))):
        path = FOLDER / f"{name}.png"
        path.write_bytes(data)
        print(path, len(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
