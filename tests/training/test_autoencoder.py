"""The VAE of a small world: its training, its scale, its colours, and a world that is trained on its latents."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from train_rigs.worlds import CAPTIONS, TINY

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.errors import InputError
from gcfg_core.world.autoencoder_file import read_autoencoder, write_autoencoder
from gcfg_core.world.tiny_autoencoder import TinyAutoencoder
from training.autoencoder import run as autoencoder_run
from training.autoencoder.config import AutoencoderConfig
from training.autoencoder.finish import stored_autoencoder
from training.autoencoder.loss import ReconstructionLoss
from training.autoencoder.measure import losses
from training.autoencoder.muon import Muon, orthogonal
from training.autoencoder.pictures import read_pixels
from training.autoencoder.run import LatentScale, scaled, train_autoencoder
from training.base.read import read_base
from training.base.world_codec import TinyCodec
from training.base.world_config import WorldConfig
from training.base.world_new import new_world, world_from_recipe
from training.base.world_write import write_world
from training.cli import main
from training.evaluate.efficientnet import efficientnet_lite0
from training.seeds import generator

SIDE = 32


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Discs of one colour on another, with captions beside."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = torch.randint(0, 256, (12, 2, 3), generator=generator("discs"), dtype=torch.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, colours in enumerate(drawn.numpy()):
        inside = (y - 10 - number % 5) ** 2 + (x - 16) ** 2 < 60
        Image.fromarray(colours[inside.astype(int)]).save(folder / f"{number:02}.webp", lossless=True)
        (folder / f"{number:02}.txt").write_text(CAPTIONS[number % 3])
    return tuple(sorted(folder.glob("*.webp")))


def config(folder: Path, pictures: tuple[Path, ...], steps: int) -> AutoencoderConfig:
    small = AutoencoderConfig(folder, pictures, steps, batch=2, crop=16, widths=(4, 8, 8, 12), save_every=2)
    return replace(small, warmup_steps=4)


def test_an_interrupted_run_ends_with_the_same_bits(
    tmp_path: Path, pictures: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_autoencoder(config(tmp_path / "whole", pictures, 6)).state_dict()

    class Killed(BaseException):
        pass

    plain, seen = autoencoder_run._Run.advance, 0

    def advance(run: autoencoder_run._Run) -> float:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise Killed
        return plain(run)

    monkeypatch.setattr(autoencoder_run._Run, "advance", advance)
    with pytest.raises(Killed):
        train_autoencoder(config(tmp_path / "halves", pictures, 6))
    halves = train_autoencoder(config(tmp_path / "halves", pictures, 6)).state_dict()
    assert seen == 4 + 4  # from the checkpoint of step 2
    assert all(torch.equal(value, halves[key]) for key, value in whole.items())


def test_crops_lie_inside_and_half_exchange_their_colours(pictures: tuple[Path, ...]) -> None:
    whole = read_pixels(pictures[0])
    crops = [autoencoder_run._crop(whole, 16, (0, step)) for step in range(60)]
    kept = sum(any(torch.equal(crop, part) for part in _parts(whole, 16)) for crop in crops)
    places = {tuple(crop.sort(0).values.flatten().tolist()) for crop in crops}  # the same in every order
    assert 25 <= kept <= 50 and len(places) > 20  # one order in six of the exchanged is the first


def _parts(whole: torch.Tensor, side: int) -> list[torch.Tensor]:
    room = range(SIDE - side + 1)
    return [whole[:, y : y + side, x : x + side] for y in room for x in room]


def test_it_learns(tmp_path: Path, pictures: tuple[Path, ...]) -> None:
    before = losses(train_autoencoder(config(tmp_path / "short", pictures, 1)), pictures)
    after = losses(train_autoencoder(config(tmp_path / "run", pictures, 60)), pictures)
    assert after.psnr > before.psnr + 3.0


def test_the_loss_is_nothing_for_equal_pictures_and_sees_colour_edges_and_features() -> None:
    loss = ReconstructionLoss(1.0)
    picture = torch.zeros(1, 3, 32, 32)
    picture[..., 16:] = 0.5
    assert loss(picture, picture) == 0.0
    paler, moved = picture + 0.1, picture.roll(1, -1)
    assert loss(paler, picture) > ReconstructionLoss(0.0)(paler, picture) == pytest.approx(5 * (0.1 + 0.01))
    assert float((moved - picture).abs().mean()) < ReconstructionLoss(0.0)(moved, picture)
    graded = paler.clone().requires_grad_(True)
    loss.features(graded, picture).backward()
    assert graded.grad is not None and graded.grad.abs().max() > 0


def test_the_scale_of_latents_is_measured_over_steps() -> None:
    scale = LatentScale(3)
    mean, deviation = torch.tensor([1.0, -2.0, 0.0]), torch.tensor([0.5, 2.0, 7.0])
    for step in range(400):
        noise = torch.randn(4, 3, 8, 8, generator=generator("scale", step))
        found = scale(noise * deviation[:, None, None] + mean[:, None, None])
    assert (found - noise).abs().max() < 0.15
    flat = scale(torch.full((1, 3, 2, 2), 1.0))  # a crop of one colour keeps its place
    assert torch.allclose(flat[0, :, 0, 0], (1.0 - mean) / deviation, atol=0.15)


def test_the_scale_is_folded_into_the_encoder(pictures: tuple[Path, ...]) -> None:
    network, scale = TinyAutoencoder((4, 8, 8, 12), 8), LatentScale(8)
    pixels = torch.stack([*map(read_pixels, pictures)])
    with torch.no_grad():
        wanted = scale(network.encode(pixels))
        found = scaled(network, scale).encode(pixels)
    assert (found - wanted).abs().max() < 1e-4
    assert found.mean((0, 2, 3)).abs().max() < 1e-4 and (found.std((0, 2, 3)) - 1.0).abs().max() < 0.01


def test_the_stored_file_is_the_network_in_fp16(tmp_path: Path, pictures: tuple[Path, ...]) -> None:
    network = train_autoencoder(config(tmp_path / "run", pictures, 2))
    stored = stored_autoencoder(network, pictures)
    write_autoencoder(tmp_path / "vae.safetensors", replace(stored, training={"steps": 2}))
    again = read_autoencoder(tmp_path / "vae.safetensors")
    assert all(torch.equal(value.half(), again.tensors[key]) for key, value in network.state_dict().items())
    assert (again.widths, again.channels, again.training) == ((4, 8, 8, 12), 8, {"steps": 2})
    assert again.colours == stored.colours


@pytest.mark.parametrize("size", [(8, 3, 3, 3), (64, 4, 3, 3), (16, 16, 3, 3)])
def test_muon_steps_along_the_nearest_orthogonal_matrix(size: tuple[int, ...]) -> None:
    gradient = torch.randn(size, generator=generator("gradient", *size))
    left, _, right = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    found = orthogonal(gradient.flatten(1))
    assert torch.linalg.svdvals(found).min() > 0.6 and torch.linalg.svdvals(found).max() < 1.3
    assert torch.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0) > 0.97
    weight = torch.nn.Parameter(torch.zeros(size))
    weight.grad = gradient
    Muon([weight], lr=0.1).step()
    longer = max(1.0, size[0] / (size[1] * 9)) ** 0.5
    assert torch.allclose(weight.flatten(1), -0.1 * longer * found, atol=1e-3)


def test_muons_momentum_is_nesterovs() -> None:
    first, second = (torch.randn(4, 2, 3, 3, generator=generator("gradient", step)) for step in range(2))
    weight = torch.nn.Parameter(torch.zeros_like(first))
    optimizer = Muon([weight], lr=0.1, momentum=0.8)
    for gradient in (first, second):
        weight.grad, before = gradient, weight.detach().clone()
        optimizer.step()
    momentum = 0.8 * 0.2 * first + 0.2 * second
    wanted = orthogonal((0.2 * second + 0.8 * momentum).flatten(1))
    assert torch.allclose((weight - before).flatten(1), -0.1 * wanted, atol=1e-4)


def test_a_run_goes_on_with_its_own_settings_alone(tmp_path: Path, pictures: tuple[Path, ...]) -> None:
    train_autoencoder(config(tmp_path / "run", pictures, 2))
    for changed in (
        config(tmp_path / "run", pictures, 4),
        replace(config(tmp_path / "run", pictures, 2), lr=1e-4),
        config(tmp_path / "run", pictures[1:], 2),
    ):
        with pytest.raises(InputError, match="with which the run began"):
            train_autoencoder(changed)
    with pytest.raises(InputError, match="expected pictures to train on, got none"):
        train_autoencoder(config(tmp_path / "none", (), 2))


def test_a_run_that_breaks_says_so(tmp_path: Path, pictures: tuple[Path, ...]) -> None:
    with pytest.raises(InputError, match="a finite loss, got nan at step"):
        train_autoencoder(replace(config(tmp_path / "run", pictures, 40), lr=1e30, warmup_steps=1))
    network = TinyAutoencoder((4, 8, 8, 12), 8)
    network.taesd_encoder[0].weight.data.fill_(1e6)  # type: ignore[union-attr, operator]
    with pytest.raises(InputError, match="finite numbers"):
        stored_autoencoder(network.requires_grad_(False), pictures)


def test_features_are_those_of_every_resolution() -> None:
    levels = efficientnet_lite0().levels(torch.full((1, 3, 64, 64), 100.0))
    assert [tuple(level.shape[1:]) for level in levels] == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4)]


def test_colours_of_previews_are_the_best_linear_map(pictures: tuple[Path, ...]) -> None:
    """A network whose first latents are the blocks' mean colours has their map exactly."""
    network = TinyAutoencoder((4, 8, 8, 12), 8)
    exact = torch.nn.Conv2d(3, 8, 8, 8)
    torch.nn.init.normal_(exact.weight, generator=generator("mixing"))
    with torch.no_grad():
        exact.weight[:3] = torch.eye(3)[:, :, None, None].expand(-1, -1, 8, 8) / 64.0
        exact.bias.zero_()
    network.taesd_encoder = torch.nn.Sequential(exact)
    mean_colours = torch.stack([*map(read_pixels, pictures)])
    colours = stored_autoencoder(network, pictures).colours
    latents = network.encode(mean_colours)
    found = torch.einsum("bchw,cr->brhw", latents, torch.tensor(colours.factors))
    found += torch.tensor(colours.bias)[:, None, None]
    wanted = torch.nn.functional.avg_pool2d(mean_colours, 8)
    assert (found - wanted).abs().max() < 2e-3


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory, pictures: tuple[Path, ...]) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    network = train_autoencoder(config(folder / "run", pictures, 2))
    write_autoencoder(folder / "vae.safetensors", stored_autoencoder(network, pictures))
    return folder / "vae.safetensors"


def test_a_world_keeps_its_vae(tmp_path: Path, vae: Path, pictures: tuple[Path, ...]) -> None:
    codec = TinyCodec(read_autoencoder(vae))
    base = new_world(WorldConfig(**{**TINY, "resolution": SIDE}), CAPTIONS, "new", codec)
    assert base.config["in_channels"] == 8 and base.config["sample_size"] == SIDE // 8 and base.side_step == 16
    write_world(tmp_path / "world", base)
    read = read_base(str(tmp_path / "world"))
    pixels = torch.stack([read_pixels(path) for path in pictures[:3]])
    mean, deviation = read.codec.encode(pixels)
    assert torch.equal(mean, codec.encode(pixels)[0]) and not deviation.any() and not read.codec.deviates
    assert torch.equal(read.codec.decode(mean), codec.decode(mean)) and read.codec.digest == codec.digest
    assert read.latent_format == "TinyLatents8"
    with pytest.raises(ValueError, match="expected sides that 8 divides"):
        codec.encode(torch.zeros(1, 3, 12, 16))


def test_a_world_and_its_concept_are_trained_on_latents(tmp_path: Path, vae: Path, pictures: tuple[Path, ...]) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({**TINY, "resolution": SIDE}))
    images = ["--images", str(pictures[0].parent), "--resolution", str(SIDE), "--bucket-step", str(SIDE)]
    common = [*images, "--steps", "2", "--batch-size", "2", "--device", "cpu", "--workers", "0"]
    text = ["--kind", "text", "--captions", "sidecar", "--train-text", "--vae", str(vae)]
    AcceleratorState._reset_state()
    assert main(["train", "--base", str(recipe), "--output", str(tmp_path / "run"), *common, *text]) == 0
    world = tmp_path / "run" / "world"
    kept, given = load_file(world / "vae.safetensors"), load_file(vae)
    assert all(torch.equal(value, given[key]) for key, value in kept.items())
    assert main(["train", "--base", str(world), "--output", str(tmp_path / "look"), *common]) == 0
    concept = read_concept(tmp_path / "look" / "look.safetensors")
    assert concept.null_text and concept.latents == "TinyLatents8" and concept.vae == read_base(str(world)).vae
    moved, again = world.rename(tmp_path / "moved"), tmp_path / "again"
    assert main(["export", str(tmp_path / "run"), str(again), "--base", str(moved)]) == 0  # which has the run's VAE
    assert read_base(str(again)).vae == concept.vae


def test_wrong_vaes_of_new_worlds_are_refused(tmp_path: Path, vae: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({**TINY, "block": 2}))
    with pytest.raises(InputError, match="recipe.json: block: expected 1 beside a VAE"):
        world_from_recipe(recipe, CAPTIONS, str(vae))
    recipe.write_text(json.dumps(TINY))
    with pytest.raises(InputError, match="resolution: expected a multiple of 16"):
        world_from_recipe(recipe, CAPTIONS, str(vae))
    with pytest.raises(InputError, match="There is no file of this name"):
        world_from_recipe(recipe, CAPTIONS, str(tmp_path / "none.safetensors"))
