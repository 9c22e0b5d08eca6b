"""A small world in ComfyUI computes what the trainer's own parts compute: text, prediction and pixels."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gcfg_core.world.world import read_world_files
from rigs.graphs import norm_error
from rigs.null_text import as_denoised
from rigs.worlds import CAPTIONS, tiny_world, write_tiny_world
from training.base.model import Base

PIXELS, LATENTS = (1, 2, 4), (8,)  # pixels of a picture per position of the latents: in blocks, and through a VAE
LONG = "a red face, smiling a blue hat and a green face and a yellow ball"


class InComfyUI:
    """A world as the trainer has it, and as ComfyUI has it."""

    def __init__(self, pack: Any, folder: Path, factor: int) -> None:
        self.base: Base = tiny_world(factor)
        self.folder = write_tiny_world(folder / "tiny", self.base)
        self.model, self.clip, self.vae, _ = pack.module("nodes.loading.world_loader").load_world(self.folder)

    def text(self, *captions: str) -> Tensor:
        return self.base.text.encode(captions).hidden_states  # type: ignore[union-attr]


@pytest.fixture(scope="module", params=PIXELS + LATENTS)
def world(pack: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> InComfyUI:
    return InComfyUI(pack, tmp_path_factory.mktemp("world"), request.param)


@pytest.fixture(scope="module", params=PIXELS)
def of_pixels(pack: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> InComfyUI:
    return InComfyUI(pack, tmp_path_factory.mktemp("world"), request.param)


@pytest.fixture(scope="module")
def plain(pack: Any, tmp_path_factory: pytest.TempPathFactory) -> InComfyUI:
    return InComfyUI(pack, tmp_path_factory.mktemp("world"), 1)


def encode(pack: Any, world: InComfyUI, text: str) -> Tensor:
    return pack.run("CLIPTextEncode", clip=world.clip, text=text)[0][0][0]


@pytest.mark.parametrize("text", [*CAPTIONS[:2], "", "a zebra", LONG, "(a), b"], ids=str)
def test_text_features_are_the_trainers(pack: Any, plain: InComfyUI, text: str) -> None:
    got = encode(pack, plain, text.replace("(", r"\(").replace(")", r"\)"))
    assert got.shape == (1, 12, 48) and norm_error(got, plain.text(text)) < 1e-5


def test_the_empty_prompt_is_the_trainers_condition(pack: Any, plain: InComfyUI) -> None:
    assert norm_error(encode(pack, plain, ""), plain.base.null.hidden_states) < 1e-6


def test_prompt_weights_pull_away_from_the_empty_prompt(pack: Any, plain: InComfyUI) -> None:
    text, empty = plain.text("a red face")[0], plain.text("")[0]
    expected = text.clone()
    expected[2] = (text[2] - empty[2]) * 1.3 + empty[2]  # begin, a, red
    got = encode(pack, plain, "a (red:1.3) face")[0]
    assert norm_error(got, expected) < 1e-5 and norm_error(got, text) > 1e-3
    assert norm_error(encode(pack, plain, "a (red:1.0) face")[0], text) < 1e-5
    cut = encode(pack, plain, f"(a red face,:1.2) {LONG}")
    assert cut.shape == (1, 12, 48) and torch.isfinite(cut).all()


def test_a_text_is_cut_where_training_cuts_it_whatever_its_weights(pack: Any, plain: InComfyUI) -> None:
    tokenizer = plain.clip.tokenizer.clip_l
    (row,) = tokenizer.tokenize_with_weights(f"a red (face, smiling:1.2) {LONG}")
    words = tokenizer.words.encode(f"a red face, smiling {LONG}")
    assert [number for number, _ in row] == words and len(words) == 12
    assert [weight for _, weight in row] == [1.0] * 3 + [1.2] * 3 + [1.0] * 6
    (numbered,) = tokenizer.tokenize_with_weights("a (red:1.2)", return_word_ids=True)
    assert [part for *_, part in numbered] == [0, 1, 2] + [0] * 9
    assert tokenizer.untokenize(row)[1][1] == "a"


def test_the_log_names_words_that_the_world_does_not_know(
    pack: Any, plain: InComfyUI, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings_about(text: str) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            encode(pack, plain, text)
        return [record.getMessage() for record in caplog.records if record.name == "root"]

    assert warnings_about(r"a (red:1.3) FACE, (smiling) \(on a chair\)") == []
    (line,) = warnings_about("a (zebra:1.3) and a lion and a zebra")
    assert "'Tiny world' was not trained on: zebra, lion." in line
    (line,) = warnings_about(LONG)
    assert "reads 10 words of a prompt" in line


def test_the_last_layer_can_be_left_out(pack: Any, plain: InComfyUI) -> None:
    (clip,) = pack.run("CLIPSetLastLayer", clip=plain.clip, stop_at_clip_layer=-2)
    got = pack.run("CLIPTextEncode", clip=clip, text="a red face")[0][0][0]
    assert got.shape == (1, 12, 48) and norm_error(got, encode(pack, plain, "a red face")) > 1e-3


def test_predictions_are_diffusers(world: InComfyUI) -> None:
    """The same prediction of v from the same latent, text and time."""
    model, base = world.model.model, world.base
    channels = base.config["in_channels"]
    x = torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(3)) * 5
    sigma = model.model_sampling.sigma(torch.tensor([100.0, 999.0]))
    text = world.text(*CAPTIONS[:2])
    expected = as_denoised(lambda scaled, t: base.unet(scaled, t, text).sample, model, x, sigma, True)
    got = model.apply_model(x, sigma, c_crossattn=text)
    print(f"relative error {norm_error(got, expected):.1e}")
    assert norm_error(got, expected) < 1e-4


def test_noise_levels_are_the_trainers(plain: InComfyUI) -> None:
    alphas = plain.base.schedule.alphas_cumprod
    sigmas = plain.model.model.model_sampling.sigmas
    assert torch.allclose(1 / (sigmas[:-1].double() ** 2 + 1), alphas[:-1].double(), rtol=1e-4)
    assert sigmas[-1] > 1000 and alphas[-1] < 1e-6


def test_latents_and_pictures_are_the_trainers(pack: Any, world: InComfyUI) -> None:
    images = torch.rand(2, 24, 16, 3, generator=torch.Generator().manual_seed(0))
    (latent,) = pack.run("VAEEncode", pixels=images, vae=world.vae)
    expected, _ = world.base.codec.encode(images.movedim(-1, 1) * 2 - 1)
    assert norm_error(latent["samples"], expected) < 1e-5
    (decoded,) = pack.run("VAEDecode", samples=latent, vae=world.vae)
    wanted = (world.base.codec.decode(expected) / 2 + 0.5).movedim(1, -1)
    assert norm_error(decoded, wanted) < 1e-5


def test_pixels_pass_without_loss(pack: Any, of_pixels: InComfyUI) -> None:
    images = torch.rand(3, 24, 16, 3, generator=torch.Generator().manual_seed(0))
    (latent,) = pack.run("VAEEncode", pixels=images, vae=of_pixels.vae)
    codec = of_pixels.base.codec
    expected, _ = codec.encode(images.movedim(-1, 1) * 2 - 1)
    assert torch.equal(latent["samples"], expected)
    assert latent["samples"].shape == (3, codec.channels, 24 // codec.factor, 16 // codec.factor)
    kept = latent["samples"].clone()
    (decoded,) = pack.run("VAEDecode", samples=latent, vae=of_pixels.vae)
    assert float((decoded - images).abs().max()) <= 1e-6
    assert torch.equal(latent["samples"], kept)


def test_pixels_out_of_range_are_cut(pack: Any, of_pixels: InComfyUI) -> None:
    latent = {"samples": torch.full((1, of_pixels.base.codec.channels, 4, 4), 3.0)}
    (images,) = pack.run("VAEDecode", samples=latent, vae=of_pixels.vae)
    side = 4 * of_pixels.base.codec.factor
    assert torch.equal(images, torch.ones(1, side, side, 3))


def test_tiles_change_nothing(pack: Any, of_pixels: InComfyUI) -> None:
    images = torch.rand(2, 176, 208, 3, generator=torch.Generator().manual_seed(0))
    (latent,) = pack.run("VAEEncodeTiled", pixels=images, vae=of_pixels.vae, tile_size=64, overlap=16)
    assert torch.allclose(latent["samples"], of_pixels.vae.encode(images), atol=1e-6)
    (decoded,) = pack.run("VAEDecodeTiled", samples=latent, vae=of_pixels.vae, tile_size=64, overlap=16)
    assert float((decoded - images).abs().max()) <= 2e-6


def test_sides_that_no_block_divides_are_cropped(pack: Any, world: InComfyUI) -> None:
    block = world.base.codec.factor
    (latent,) = pack.run("VAEEncode", pixels=torch.rand(1, 19, 18, 4), vae=world.vae)
    assert latent["samples"].shape[-2:] == (19 // block, 18 // block)


def test_previews_are_the_mean_of_each_block(of_pixels: InComfyUI) -> None:
    latent_preview = pytest.importorskip("latent_preview")
    block, format_ = of_pixels.base.codec.factor, of_pixels.model.get_model_object("latent_format")
    assert type(format_).__name__ == read_world_files(of_pixels.folder).page.latent_format
    assert format_.latent_channels == of_pixels.base.codec.channels
    assert getattr(format_, "spacial_downscale_ratio", block) == block
    pixels = torch.rand(1, 3, 8, 12) * 2 - 1
    latents, _ = of_pixels.base.codec.encode(pixels)
    previewer = latent_preview.Latent2RGBPreviewer(format_.latent_rgb_factors)
    shown = torch.tensor(list(previewer.decode_latent_to_preview(latents).getdata()), dtype=torch.float32)
    means = torch.nn.functional.avg_pool2d(pixels, block)
    expected = ((means[0] + 1) / 2 * 255).movedim(0, -1).reshape(-1, 3)
    assert float((shown - expected).abs().max()) <= 1.0
