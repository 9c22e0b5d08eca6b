"""New worlds: from settings and captions to a base, always the same, that learns to draw what it is told."""

import json
from pathlib import Path

import pytest
import torch
from train_rigs.worlds import CAPTIONS, TINY, plain_pictures, tiny_world

from gcfg_core.concept.families import layout_of
from gcfg_core.errors import InputError
from training.base.model import Base
from training.base.read import read_base
from training.base.world import is_world, read_world
from training.base.world_config import WorldConfig, is_recipe, read_world_config, world_config
from training.base.world_new import new_world, world_from_recipe
from training.base.world_write import write_world
from training.kinds.text import text_network
from training.seeds import generator

RECIPE = """
channels = [32, 64]
attention = [true, false]
context = 48
text_heads = 3
resolution = 16
prediction_type = "epsilon"
zero_terminal_snr = false
"""


def weights(base: Base) -> dict[str, torch.Tensor]:
    return {**base.unet.state_dict(), **base.text.state_dict()}  # type: ignore[union-attr]


def test_the_same_settings_give_the_same_bits() -> None:
    one = weights(new_world(WorldConfig(**TINY), CAPTIONS))
    torch.manual_seed(5)
    other = weights(new_world(WorldConfig(**TINY), CAPTIONS[::-1]))
    assert all(torch.equal(one[key], other[key]) for key in one | other)
    assert new_world(WorldConfig(**TINY, seed=1), CAPTIONS).sha256 != new_world(WorldConfig(**TINY), CAPTIONS).sha256


def test_a_new_world_leaves_the_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    tiny_world()
    assert torch.equal(before, torch.get_rng_state())


def test_the_default_world_is_about_4_million_parameters() -> None:
    base = new_world(WorldConfig(), CAPTIONS)
    assert 3.9e6 < sum(parameter.numel() for parameter in base.unet.parameters()) < 4.1e6
    assert base.unet.config.norm_num_groups == 32


def test_settings_come_from_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "faces.toml"
    path.write_text(RECIPE, encoding="utf-8")
    base = world_from_recipe(path, CAPTIONS)
    layout = layout_of(base.config)
    assert (layout.channels, layout.context_dim, layout.down_depths) == ((32, 64), 48, ((1,), (0,)))
    assert (base.name, base.config["sample_size"], base.schedule.prediction_type) == ("faces", 16, "epsilon")
    as_json = tmp_path / "faces.json"
    as_json.write_text(json.dumps(read_world_config(path).model_dump()), encoding="utf-8")
    assert read_world_config(as_json) == read_world_config(path)
    assert is_recipe(path) and is_recipe(as_json) and not is_recipe(tmp_path) and is_world(path)


def test_a_recipe_is_no_trained_base(tmp_path: Path) -> None:
    path = tmp_path / "faces.toml"
    path.write_text(RECIPE, encoding="utf-8")
    with pytest.raises(InputError, match="Train it first"):
        read_base(str(path))


def test_the_vocabulary_has_a_limit() -> None:
    assert len(tiny_world(vocabulary=6).text.tokenizer) == 6  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": [40]},
        {"channels": []},
        {"chanels": [32]},
        {"attention": [True]},
        {"heads": 3},
        {"text_heads": 3},
        {"resolution": 7},
        {"tokens": 2},
        {"vocabulary": 4},
        {"prediction_type": "sample"},
        {"prediction_type": "epsilon"},  # with zero terminal SNR
        {"seed": -1},
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings: dict) -> None:
    with pytest.raises(InputError) as error:
        new_world(world_config({**TINY, **settings}), CAPTIONS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["channels = [", "[1, 2]", "\xff"])
def test_a_broken_recipe_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / ("world.json" if text.startswith("[") else "world.toml")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_world_config(path)
    assert "\n" not in str(error.value)


def test_captions_without_words_are_refused() -> None:
    with pytest.raises(InputError, match="--captions"):
        new_world(WorldConfig(**TINY), ["", " "])


def test_a_world_learns_to_draw_what_it_is_told(tmp_path: Path) -> None:
    """UNet and text encoder together: the loss falls, and the right word gives the smaller error."""
    base = new_world(WorldConfig(**TINY), CAPTIONS)
    network = text_network(base, reads_captions=True, train_text=True).train()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-3)
    pictures, losses = plain_pictures(), []
    first = {name: value.clone() for name, value in network.named_parameters()}
    for step in range(120):
        x0 = pictures.repeat(4, 1, 1, 1)
        noise = torch.randn(x0.shape, generator=generator(step, "noise"))
        t = torch.randint(0, 1000, (len(x0),), generator=generator(step, "t"))
        output = network(base.schedule.add_noise(x0, noise, t), t, CAPTIONS * 4, None)
        loss = (output - base.schedule.target(x0, noise, t)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    assert not any(torch.equal(first[name], value) for name, value in network.named_parameters() if "text." in name)

    write_world(tmp_path / "world", base)
    read = read_world(tmp_path / "world")
    assert _error(read, CAPTIONS) < 0.5 * _error(read, CAPTIONS[1:] + CAPTIONS[:1])


@torch.no_grad()
def _error(base: Base, captions: list[str]) -> float:
    """Of x0 predicted from pure noise."""
    t = torch.tensor([999] * len(captions))
    x = torch.randn(len(captions), 3, 8, 8, generator=torch.Generator().manual_seed(3))
    output = base.unet(x, t, **base.text.encode(captions).arguments()).sample  # type: ignore[union-attr]
    return float((base.schedule.denoised(x, output, t) - plain_pictures()).square().mean())
