"""A world's VAE: ComfyUI's own loader, the pack's and diffusers compute the same with it, and previews have colours."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import folder_paths
import latent_preview
import pytest
import torch
from comfy.cli_args import LatentPreviewMethod, args
from diffusers import AutoencoderTiny
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.tensor_digest import digest_of
from gcfg_core.errors import ConceptFileError
from gcfg_core.world.autoencoder_file import read_autoencoder, write_autoencoder
from gcfg_core.world.page import TEXT, VAE, WORLD, read_world_page
from gcfg_core.world.tiny_autoencoder import diffusers_names, padded
from gcfg_core.world.world import read_world_files
from rigs.graphs import norm_error
from rigs.lora_concepts import lora_on_every_layer
from rigs.worlds import tiny_autoencoder, tiny_world, write_tiny_concept, write_tiny_world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_world(tmp_path_factory.mktemp("worlds") / "tiny", tiny_world(8))


@pytest.fixture(scope="module")
def loaded(pack: Any, folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(folder_paths.folder_names_and_paths, "gcfg_worlds", ([str(folder.parent)], {".json"}))
        return pack.run("GCFG_LoadStarterWorld", world="tiny")


def random_pictures(*size: int) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(0))


def test_comfyuis_own_loader_computes_the_same(loaded: Any, folder: Path) -> None:
    stock, ours = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(folder / VAE))), loaded[2]
    assert type(stock.first_stage_model).__name__ == "TAESD" and stock.latent_channels == ours.latent_channels == 8
    pictures = random_pictures(2, 32, 48, 3)
    latents = stock.encode(pictures)
    assert latents.shape == (2, 8, 4, 6)
    assert norm_error(ours.encode(pictures), latents) < 1e-5
    assert norm_error(ours.decode(latents), stock.decode(latents)) < 1e-5


def test_diffusers_computes_the_same(loaded: Any, folder: Path) -> None:
    stored = read_autoencoder(folder / VAE)
    theirs = AutoencoderTiny(latent_channels=8)
    tensors = {key: value.float() for key, value in padded(stored.tensors, 8).items()}
    theirs.load_state_dict(diffusers_names(tensors), strict=True)
    pictures = random_pictures(1, 32, 32, 3)
    with torch.no_grad():
        latents = theirs.encode(pictures.movedim(-1, 1) * 2.0 - 1.0).latents
        images = (theirs.decode(latents).sample / 2.0 + 0.5).clamp(0.0, 1.0).movedim(1, -1)
    assert norm_error(loaded[2].encode(pictures), latents) < 1e-5
    assert norm_error(loaded[2].decode(latents), images) < 1e-5


def test_previews_have_the_worlds_colours(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(args, "preview_method", LatentPreviewMethod.Latent2RGB)
    format_ = loaded[0].model.latent_format
    latents = random_pictures(1, 8, 2, 3)
    image = latent_preview.get_previewer(torch.device("cpu"), format_).decode_latent_to_preview(latents)
    colours = tiny_autoencoder().colours
    wanted = torch.einsum("chw,cr->hwr", latents[0], torch.tensor(colours.factors)) + torch.tensor(colours.bias)
    wanted = ((wanted + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0
    found = torch.tensor(list(image.getdata())).view(2, 3, 3)
    assert (found - wanted).abs().max() <= 1.0
    assert type(format_)().latent_rgb_factors is None  # another world's previews are not coloured by this one


def test_a_bare_concept_is_known_by_its_channels(tmp_path: Path) -> None:
    concept = read_concept(write_tiny_concept(tmp_path / "concept.safetensors", 8))
    assert concept.latents == "TinyLatents8"
    save_file(dict(concept.tensors), tmp_path / "bare.safetensors")
    assert read_concept(tmp_path / "bare.safetensors", concept.config).latents == "TinyLatents8"


def test_worlds_of_pixels_keep_their_format(tmp_path: Path, folder: Path) -> None:
    """Packs of version 0.1.0 read worlds of format 1."""
    page = read_world_page(write_tiny_world(tmp_path / "pixels", tiny_world(2))).to_json()
    assert page["format"] == 1 and page["codec"] == "pixels" and "vae" not in page
    assert read_world_page(folder).to_json()["format"] == 2


def changed(path: Path, key: str, channels: slice = slice(None)) -> None:
    """Add 1 to some channels of a tensor in a file."""
    tensors = load_file(path)
    tensors[key][channels] += 1.0
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata)


def other_channels(world: Path) -> None:
    four = tiny_autoencoder(4)
    write_autoencoder(world / VAE, four)
    changed_page(world, vae=digest_of(four.tensors))


def changed_page(world: Path, **values: Any) -> None:
    page = json.loads((world / WORLD).read_text())
    (world / WORLD).write_text(json.dumps({**page, **values}))


def other_unet(world: Path) -> None:
    """Exchange the VAE, as if the UNet had been trained on another's latents."""
    other = tiny_autoencoder(seed=1)
    write_autoencoder(world / VAE, other)
    changed_page(world, vae=digest_of(other.tensors))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda at: (at / VAE).unlink(), "vae.safetensors: There is no file of this name"),
    "torn": (lambda at: os.truncate(at / VAE, 9000), "vae.safetensors: .*incomplete or damaged"),
    "other weights": (lambda at: changed(at / VAE, "taesd_decoder.1.bias", slice(4)), "Its weights are not those"),
    "wider": (lambda at: changed(at / VAE, "taesd_encoder.0.weight"), "zeros outside"),
    "other channels": (other_channels, "the latent format of world.json, TinyLatents8, got 4 latent channels"),
    "no hash": (lambda at: changed_page(at, vae=""), "world.json: vae: expected a hash, got an empty text"),
    "another world's": (lambda at: other_unet(at), "unet.safetensors: expected a UNet for the VAE of world.json"),
    "another file": (lambda at: shutil.copyfile(at / TEXT, at / VAE), "gcfg.kind: expected tiny-autoencoder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_vae_is_refused(tmp_path: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    world = write_tiny_world(tmp_path / "world", tiny_world(8))
    spoil(world)
    with pytest.raises(ConceptFileError, match=message):
        read_world_files(world)


def test_concepts_of_another_vae_are_refused(pack: Any, loaded: Any, load_concept: Any, tmp_path: Path) -> None:
    """Latents of the same format mean other pictures to another VAE."""
    own = load_concept(write_tiny_concept(tmp_path / "own.safetensors", 8))
    other = load_concept(write_tiny_concept(tmp_path / "other.safetensors", vae=tiny_autoencoder(seed=1)))
    (null,) = pack.run("CLIPTextEncode", clip=loaded[1], text="")
    (latent,) = pack.run("EmptyLatentImage", width=32, height=32, batch_size=1)

    def sample(concept: Any) -> Any:
        (terms,) = pack.run("GCFG_GuidanceTerm", model=concept, weight=1.0)
        return pack.run(
            "GCFG_Sampler", model=loaded[0], conditioning=null, terms=terms, latent_image=latent, seed=0, steps=2,
            sampler_name="euler", scheduler="simple", denoise=1.0,
        )  # fmt: skip

    assert sample(own)[0]["samples"].shape == (1, 8, 4, 4)
    with pytest.raises(ValueError, match="TinyLatents8 of the VAE .* does not share its latents"):
        sample(other)


def test_lora_concepts_of_another_vae_are_refused(pack: Any, loaded: Any) -> None:
    base, apply = tiny_world(8), pack.module("nodes.loading.lora_concept_model").apply_lora_concept
    known = {"prediction_type": base.schedule.prediction_type, "latent_format": base.latent_format}
    own, other = (
        lora_on_every_layer(base.config, **known, vae=vae) for vae in (base.vae, digest_of(tiny_autoencoder(4).tensors))
    )
    assert apply(loaded[0], own, "own").model is loaded[0].model
    with pytest.raises(pack.module("gcfg_core.errors").ConceptFileError, match="got a world with another VAE"):
        apply(loaded[0], other, "other")


def test_weights_that_are_not_loaded_are_cast(loaded: Any) -> None:
    """With little memory on the device ComfyUI leaves weights where they are and casts them in each layer."""
    network = loaded[2].first_stage_model
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(layers) > 40 and all(hasattr(layer, "comfy_cast_weights") for layer in layers)
    pictures = random_pictures(1, 32, 32, 3)
    wanted = loaded[2].encode(pictures)
    for layer in layers:
        layer.comfy_cast_weights = True
    try:
        assert norm_error(loaded[2].encode(pictures), wanted) < 1e-6
    finally:
        for layer in layers:
            layer.comfy_cast_weights = False


def test_tiles_give_the_same_picture_inside(pack: Any, loaded: Any) -> None:
    sizes = {"tile_size": 128, "overlap": 32}
    latent = {"samples": torch.randn(1, 8, 24, 24, generator=torch.Generator().manual_seed(0))}
    (whole,) = pack.run("VAEDecode", samples=latent, vae=loaded[2])
    (tiled,) = pack.run("VAEDecodeTiled", samples=latent, vae=loaded[2], **sizes)
    assert whole.shape == tiled.shape == (1, 192, 192, 3)
    assert float((whole - tiled)[:, 8:24, 8:24].abs().max()) < 1e-4
    (encoded,) = pack.run("VAEEncodeTiled", pixels=whole, vae=loaded[2], **sizes)
    assert encoded["samples"].shape == (1, 8, 24, 24)


def test_a_vae_that_changed_is_loaded_again(pack: Any, loaded: Any, folder: Path) -> None:
    node = pack.node("GCFG_LoadStarterWorld")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(folder_paths.folder_names_and_paths, "gcfg_worlds", ([str(folder.parent)], {".json"}))
        before = node.fingerprint_inputs(world="tiny")
        os.utime(folder / VAE, (1, 1))
        assert node.fingerprint_inputs(world="tiny") != before
