"""Grids: every cell from the same noise, its label beside it."""

import pytest
import torch
from PIL import Image
from train_rigs.pictures import largest_difference
from train_rigs.samples import base, concept, denoiser

from gcfg_core.errors import InputError
from training.sample.concept_model import concept_unet
from training.sample.grid import GAP, draw_grid
from training.sample.scene import Sampling, Scene, make_scene, to_images
from training.sample.weight_grid import weight_grid

SAMPLING = Sampling(seed=3, steps=3, size=8, batch=2)


def scene(prompt: str | None = "a face") -> Scene:
    return make_scene(base(), denoiser(0), denoiser(1, null_text=True), prompt)


def watched(mixed: Scene) -> list[tuple[float, float]]:
    """The weights that a scene is asked to draw, as they come."""
    asked: list[tuple[float, float]] = []
    draw = mixed.pictures
    mixed.pictures = lambda weights, *rest: (asked.append(weights), draw(weights, *rest))[1]  # type: ignore[assignment]
    return asked


def pixels(pictures: list[Image.Image]) -> list[bytes]:
    return [picture.tobytes() for picture in pictures]


def test_pictures_depend_on_the_seed_not_on_the_batch():
    together = scene().pictures((1.5, 2.0), 3, SAMPLING)
    alone = scene().pictures((1.5, 2.0), 1, Sampling(3, 3, "dpm++", 8, 1), first=2)
    assert len(together) == 3 and largest_difference(together[2], alone[0]) <= 1
    assert pixels(scene().pictures((1.5, 2.0), 1, Sampling(4, 3, "dpm++", 8)))[0] != pixels(together)[0]


def test_weights_of_zero_and_one_are_the_models_alone():
    mixed = scene()
    concept_alone = make_scene(base(), denoiser(1, null_text=True), None)
    assert pixels(mixed.pictures((1.0, 0.0), 1, SAMPLING)) == pixels(concept_alone.pictures((0.0, 0.0), 1, SAMPLING))
    assert pixels(mixed.pictures((1.0, 0.0), 1, SAMPLING)) != pixels(mixed.pictures((0.0, 0.0), 1, SAMPLING))


def test_a_grid_draws_each_cell_once_from_the_same_noise():
    mixed, told = scene(), []
    asked = watched(mixed)
    grid = weight_grid(
        mixed, SAMPLING, (0.0, 2.0), (0.0, 1.0, 3.0), 2, "toons", lambda done, cells: told.append((done, cells))
    )
    assert told[-1] == (7, 7)  # six cells and the concept alone; base and prompt alone are among them
    assert sorted(asked) == [(0, 0), (0, 1), (0, 3), (1, 0), (2, 0), (2, 1), (2, 3)]
    assert grid.width > 3 * 2 * 96 and grid.height > 3 * 96
    assert weight_grid(scene(), SAMPLING, (0.0, 2.0), (0.0, 1.0, 3.0), 2, "toons").tobytes() == grid.tobytes()


def test_without_a_prompt_there_is_one_column():
    mixed = scene(None)
    asked = watched(mixed)
    weight_grid(mixed, SAMPLING, (0.0, 2.0), (0.0, 1.0, 3.0))
    assert sorted(asked) == [(0, 0), (1, 0), (2, 0)]


def test_labels_lie_outside_the_pictures():
    red = Image.new("RGB", (100, 100), "red")
    grid = draw_grid([[red, red], [red, red]], ["row one", "row two"], ["left", "right"], "title")
    values = torch.frombuffer(bytearray(grid.tobytes()), dtype=torch.uint8).view(grid.height, grid.width, 3)
    is_red = (values == torch.tensor([255, 0, 0], dtype=torch.uint8)).all(-1)
    assert int(is_red.sum()) == 4 * 100 * 100
    assert is_red.any(1).nonzero().min() > 2 * 14 and is_red.any(0).nonzero().min() > 20
    assert draw_grid([[red]], [""], [""]).size == (100 + 2 * GAP, 100 + 2 * GAP)


def test_no_heading_is_cut_or_laid_over_its_neighbour():
    """Headings wider than their pictures, in the first column, between others and in the last one."""
    red, long = Image.new("RGB", (100, 100), "red"), "a heading of many words"
    grid = draw_grid([[red] * 3], [""], [long] * 3)
    alone = draw_grid([[Image.new("RGB", (400, 100), "red")]], [""], [long])

    def ink(picture: Image.Image) -> list[int]:
        """How dark the line of headings is, column by column."""
        line = picture.convert("L").crop((0, 0, picture.width, 20))
        return [sum(255 - line.getpixel((x, y)) for y in range(20)) for x in range(line.width)]

    assert sum(ink(grid)) == 3 * sum(ink(alone)) > 0
    assert not any(ink(grid)[:GAP]) and not any(ink(grid)[-GAP:])


def test_colours_are_rounded_and_clamped():
    pictures = to_images(torch.tensor([-2.0, -1.0, 0.0, 1.0, 1.5]).view(1, 1, 1, 5).expand(1, 3, 1, 5))
    assert [pictures[0].getpixel((x, 0))[0] for x in range(5)] == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("size", [0, 7, 9])
def test_a_size_that_cannot_be_halved_is_refused(size):
    with pytest.raises(InputError, match="multiple of 2 pixels"):
        scene().pictures((1.0, 0.0), 1, Sampling(0, 3, "dpm++", size))


def test_a_prompt_needs_a_text_encoder():
    made = base()
    made.text = None
    with pytest.raises(InputError, match="prompt: expected a base with tokenizer"):
        make_scene(made, denoiser(0), None, "a face")


def test_a_half_precision_file_is_sampled_in_full():
    half = concept()
    tensors = {key: value.half() for key, value in half.tensors.items()}
    network = concept_unet(type(half)(tensors, half.config))
    assert next(network.parameters()).dtype == torch.float32
