"""The weight grid of a concept: alone, the base, and both mixed at several weights, all from the same noise.

Without a concept the grid has one row: the model under its prompt at several weights.
"""

from collections.abc import Sequence

from PIL import Image

from gcfg_core.guidance.graph import PAPER_WEIGHT

from ..console.progress_bar import Progress
from .grid import beside, draw_grid, stack
from .scene import Sampling, Scene, Weights

CONCEPT_ALONE: Weights = (1.0, 0.0)  # the base cancels
BASE_ALONE: Weights = (0.0, 0.0)
PROMPT_ALONE: Weights = (0.0, 1.0)
PAPER_WEIGHTS = (0.0, 1.0, PAPER_WEIGHT)


def weight_grid(
    scene: Scene,
    sampling: Sampling,
    w_concept: Sequence[float] = PAPER_WEIGHTS,
    w_control: Sequence[float] = PAPER_WEIGHTS,
    pictures: int = 1,
    title: str = "",
    progress: Progress | None = None,
) -> Image.Image:
    """Make a strip of concept, base and prompt alone; below it a row for each w_concept and a column for each
    w_control.

    Without a prompt there is a single column; without a concept a single row and no strip.

    Args:
        pictures: number of pictures per cell, each from its own noise.
        progress: called with (cells done, cells) after each distinct cell.
    """
    columns = list(w_control) if scene.control is not None else [0.0]
    lines = list(w_concept) if scene.concept is not None else [0.0]
    strip = _strip(scene)
    matrix: list[list[Weights]] = [[(float(w), float(c)) for c in columns] for w in lines]
    wanted = dict.fromkeys([*strip.values(), *[weights for row in matrix for weights in row]])
    drawn: dict[Weights, Image.Image] = {}
    for weights in wanted:
        drawn[weights] = beside(scene.pictures(weights, pictures, sampling))
        if progress is not None:
            progress(len(drawn), len(wanted))
    labels = [f"w_control {c:g}" for c in columns] if scene.control is not None else [""]
    cells = [[drawn[weights] for weights in row] for row in matrix]
    if not strip:
        return draw_grid(cells, [""], labels, title)
    above = draw_grid([[drawn[weights] for weights in strip.values()]], [""], list(strip), title)
    return stack([above, draw_grid(cells, [f"w_concept {w:g}" for w in lines], labels)])


def _strip(scene: Scene) -> dict[str, Weights]:
    """Return the strip's labels and weights."""
    if scene.concept is None:
        return {}
    strip = {"concept alone": CONCEPT_ALONE, "base alone": BASE_ALONE}
    return strip if scene.control is None else {**strip, "base, prompt at 1": PROMPT_ALONE}
