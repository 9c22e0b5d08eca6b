"""The grid that shows a concept: alone, the base, and both mixed at several weights, all from the same noise."""

from collections.abc import Callable, Sequence

from PIL import Image

from .grid import beside, draw_grid, stack
from .scene import Drawing, Scene, Weights

CONCEPT_ALONE: Weights = (1.0, 0.0)  # the base cancels
BASE_ALONE: Weights = (0.0, 0.0)
PROMPT_ALONE: Weights = (0.0, 1.0)
PAPER_WEIGHTS = (0.0, 1.0, 2.5)


def weight_grid(
    scene: Scene,
    how: Drawing,
    w_concept: Sequence[float] = PAPER_WEIGHTS,
    w_control: Sequence[float] = PAPER_WEIGHTS,
    pictures: int = 1,
    title: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Image.Image:
    """Concept alone, base and prompt alone in a strip; below it a row for each w_concept, a column for each w_control.

    Without a prompt in the scene there is one column.

    Args:
        pictures: in each cell, from noises of their own.
        progress: called with (cells done, cells) after each distinct one.
    """
    columns = list(w_control) if scene.control is not None else [0.0]
    strip = {"concept alone": CONCEPT_ALONE, "base alone": BASE_ALONE}
    if scene.control is not None:
        strip["base, prompt at 1"] = PROMPT_ALONE
    matrix: list[list[Weights]] = [[(float(w), float(c)) for c in columns] for w in w_concept]
    wanted = dict.fromkeys([*strip.values(), *[weights for row in matrix for weights in row]])
    drawn: dict[Weights, Image.Image] = {}
    for weights in wanted:
        drawn[weights] = beside(scene.pictures(weights, pictures, how))
        if progress is not None:
            progress(len(drawn), len(wanted))
    told = [f"w_control {c:g}" for c in columns] if scene.control is not None else [""]
    above = draw_grid([[drawn[weights] for weights in strip.values()]], [""], list(strip), title)
    rows = [f"w_concept {w:g}" for w in w_concept]
    return stack([above, draw_grid([[drawn[weights] for weights in row] for row in matrix], rows, told)])
