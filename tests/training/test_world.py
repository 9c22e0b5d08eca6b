"""A world written and read, the files it consists of, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from train_rigs.worlds import clip_states, tiny_world

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.errors import ConceptFileError, InputError
from gcfg_core.world.page import CARD, TEXT, UNET, WORLD, read_world_page
from gcfg_core.world.text_encoder import read_text_encoder, tensor_shapes
from gcfg_core.world.tokenizer import UNKNOWN
from training.base.model import Base
from training.base.read import read_base
from training.base.world import is_world, read_world
from training.base.world_codec import PixelCodec
from training.base.world_text import WordText
from training.base.world_write import write_world


@pytest.fixture
def base() -> Base:
    return tiny_world()


@pytest.fixture
def folder(base: Base, tmp_path: Path) -> Path:
    write_world(tmp_path / "world", base, title="Tiny", training={"steps": 3})
    return tmp_path / "world"


def outputs(base: Base, captions: list[str]) -> torch.Tensor:
    x = torch.randn(len(captions), 3, 8, 8, generator=torch.Generator().manual_seed(0))
    told = base.text.encode(captions)  # type: ignore[union-attr]
    return base.unet(x, torch.tensor([999] * len(captions)), **told.arguments()).sample


def test_a_world_read_predicts_what_the_written_one_did(base: Base, folder: Path) -> None:
    read = read_base(str(folder))
    captions = ["a red face", "", "purple"]
    assert torch.equal(outputs(read, captions), outputs(base, captions))
    assert torch.equal(read.null.hidden_states, base.text.encode([""]).hidden_states)  # type: ignore[union-attr]
    assert (read.name, read.sha256, read.config) == ("Tiny", base.sha256, base.config)
    assert read.schedule.prediction_type == "v_prediction" and read.schedule.zero_terminal_snr
    assert torch.equal(read.schedule.alphas_cumprod, base.schedule.alphas_cumprod)
    assert read.latent_format == "ChromaRadiance" and not read.unet.training
    assert is_world(folder) and is_world(folder / WORLD) and not is_world(folder.parent)
    assert read_world_page(folder).resolution == 8


def test_the_unet_is_a_format_1_file(base: Base, folder: Path) -> None:
    concept = read_concept(folder / UNET)
    assert (concept.kind, concept.architecture, concept.latents) == ("unet", "custom", "ChromaRadiance")
    assert (concept.prediction_type, concept.zero_terminal_snr) == ("v_prediction", True)
    assert concept.title == "Tiny" and concept.training == {"steps": 3}
    assert set(concept.tensors) == set(base.unet.state_dict())


def test_the_text_encoder_computes_what_comfyui_does(base: Base, folder: Path) -> None:
    stored = read_text_encoder(folder / TEXT)
    ids = torch.tensor([stored.tokenizer.encode(text) for text in ("a red face", "", "blue, blue, blue, blue, blue")])
    expected = clip_states(stored.tensors, stored.config, ids)
    got = base.text(ids)  # type: ignore[operator]
    assert float((got - expected).norm() / expected.norm()) < 1e-5


def test_the_text_encoder_has_the_names_that_comfyui_reads(folder: Path) -> None:
    stored = read_text_encoder(folder / TEXT)
    assert {key: tuple(value.shape) for key, value in stored.tensors.items()} == tensor_shapes(stored.config)
    with safe_open(folder / TEXT, "pt") as handle:
        metadata = handle.metadata()
    assert metadata["gcfg.kind"] == "text-encoder"
    assert json.loads(metadata["gcfg.vocabulary"])["words"][4:6] == [",", "a"]


def test_a_text_encoder_is_no_concept(folder: Path) -> None:
    with pytest.raises(ConceptFileError, match="text-encoder"):
        read_concept(folder / TEXT)


def test_sha_changes_with_the_weights(base: Base, tmp_path: Path) -> None:
    with torch.no_grad():
        base.unet.conv_in.bias[0] += 1.0
    write_world(tmp_path / "other", base)
    assert read_world(tmp_path / "other").sha256 != base.sha256


def test_averages_take_the_place_of_weights(base: Base, tmp_path: Path) -> None:
    """By their names in a run's network; what no average names is the base's own."""
    text = next(iter(base.text.state_dict()))  # type: ignore[union-attr]
    bias = torch.full((3,), 0.5)
    write_world(tmp_path / "world", base, {"unet.conv_out.bias": bias, f"text.{text}": torch.ones(11, 32)})
    read = read_world(tmp_path / "world")
    assert torch.equal(read.unet.conv_out.bias, bias) and torch.equal(read.text.state_dict()[text], torch.ones(11, 32))  # type: ignore[union-attr]
    assert torch.equal(read.unet.conv_in.weight, base.unet.conv_in.weight)


def test_half_precision_is_read_as_float32(base: Base, tmp_path: Path) -> None:
    write_world(tmp_path / "world", base, dtype=torch.float16)
    read = read_world(tmp_path / "world")
    assert load_file(tmp_path / "world" / UNET)["conv_in.weight"].dtype == torch.float16
    assert read.unet.dtype == torch.float32
    assert torch.equal(read.unet.conv_in.weight, base.unet.conv_in.weight.half().float())


def test_pixels_pass_the_codec_as_they_are() -> None:
    codec = PixelCodec()
    pixels = torch.rand(2, 3, 4, 6) * 2 - 1
    mean, deviation = codec.encode(pixels)
    assert torch.equal(mean, pixels) and not deviation.any() and deviation.shape == pixels.shape
    assert torch.equal(codec.decode(pixels * 3), (pixels * 3).clamp(-1, 1))
    assert (codec.channels, codec.factor) == (3, 1)


@pytest.mark.parametrize("block", [2, 4])
def test_blocks_of_pixels_pass_the_codec_as_they_are(block: int) -> None:
    codec = PixelCodec(block)
    pixels = torch.rand(2, 3, 8, 12) * 2 - 1
    mean, _ = codec.encode(pixels)
    assert mean.shape == (2, codec.channels, 8 // block, 12 // block) and codec.channels == 3 * block**2
    assert torch.equal(codec.decode(mean), pixels)
    assert torch.equal(mean[:, :, 1, 2], pixels[:, :, block : 2 * block, 2 * block : 3 * block].flatten(1))
    with pytest.raises(ValueError, match=f"sides that {block} divides"):
        codec.encode(pixels[..., :7])


def test_a_world_of_blocks_is_read_as_one(tmp_path: Path) -> None:
    write_world(tmp_path / "world", tiny_world(block=2, resolution=16))
    read, page = read_world(tmp_path / "world"), read_world_page(tmp_path / "world")
    assert read.codec.factor == 2 and read.latent_format == page.latent_format == "PixelBlocks2"  # type: ignore[union-attr]
    assert page.resolution == 16 and read.config["in_channels"] == 12 and read.config["sample_size"] == 8
    assert read_concept(tmp_path / "world" / UNET).latents == "PixelBlocks2"


def test_unknown_words_read_as_one(folder: Path) -> None:
    text = read_world(folder).text
    assert isinstance(text, WordText) and text.tokenizer.tokenize("zebra")[0][0] == UNKNOWN
    told = text.encode(["a zebra", "a lion", "a face"]).hidden_states
    assert torch.equal(told[0], told[1]) and not torch.equal(told[0], told[2])
    assert not any(parameter.requires_grad for parameter in text.parameters())


def test_a_world_is_replaced_whole_and_keeps_its_card(base: Base, folder: Path) -> None:
    (folder / CARD).write_text("mine", encoding="utf-8")
    write_world(folder, tiny_world(seed=5), title="New")
    assert read_world(folder).name == "New" and (folder / CARD).read_text(encoding="utf-8") == "mine"
    write_world(folder, base, card="told")
    assert (folder / CARD).read_text(encoding="utf-8") == "told"
    assert [entry.name for entry in folder.parent.iterdir()] == ["world"]


def test_a_failed_write_leaves_the_old_world(base: Base, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.base.world_write.write_text_encoder", full)
    with pytest.raises(OSError):
        write_world(folder, tiny_world(seed=5), title="New")
    assert read_world(folder).name == "Tiny" and [entry.name for entry in folder.parent.iterdir()] == ["world"]


def test_a_folder_of_other_things_is_left_alone(base: Base, folder: Path) -> None:
    (folder / "concept.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="concept.safetensors"):
        write_world(folder, base)
    assert (folder / "concept.safetensors").exists()


def _page(folder: Path, **changes: Any) -> None:
    page = json.loads((folder / WORLD).read_text(encoding="utf-8"))
    (folder / WORLD).write_text(json.dumps({**page, **changes}), encoding="utf-8")


def _metadata(path: Path, **changes: str) -> None:
    with safe_open(path, "pt") as handle:
        metadata = handle.metadata()
    save_file(load_file(path), path, {**metadata, **{key.replace("__", "."): value for key, value in changes.items()}})


def _other_unet(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    with safe_open(folder / UNET, "pt") as handle:
        metadata = handle.metadata()
    save_file({**tensors, "conv_in.bias": tensors["conv_in.bias"] + 1}, folder / UNET, metadata)


SPOILED = {
    "no JSON": lambda folder: (folder / WORLD).write_text("{", encoding="utf-8"),
    "newer": lambda folder: _page(folder, format=2),
    "no title": lambda folder: _page(folder, title=None),
    "no schedule": lambda folder: _page(folder, schedule=[]),
    "no side": lambda folder: _page(folder, resolution=0),
    "other latents": lambda folder: _page(folder, latent_format="PixelBlocks2"),
    "strange latents": lambda folder: _page(folder, latent_format="SD15"),
    "unknown key": lambda folder: _page(folder, more=1),
    "other codec": lambda folder: _page(folder, codec="vae"),
    "other betas": lambda folder: _page(folder, schedule={**json.loads((folder / WORLD).read_text())["schedule"],
                                                          "beta_end": 0.02}),
    "other prediction": lambda folder: _page(folder, schedule={**json.loads((folder / WORLD).read_text())["schedule"],
                                                               "prediction_type": "epsilon"}),
    "no unet": lambda folder: (folder / UNET).unlink(),
    "torn unet": lambda folder: (folder / UNET).write_bytes((folder / UNET).read_bytes()[:5000]),
    "other weights": _other_unet,
    "no text": lambda folder: (folder / TEXT).unlink(),
    "torn text": lambda folder: (folder / TEXT).write_bytes(b"x" * 100),
    "unet as text": lambda folder: (folder / TEXT).write_bytes((folder / UNET).read_bytes()),
    "newer text": lambda folder: _metadata(folder / TEXT, gcfg__format="2"),
    "no vocabulary": lambda folder: _metadata(folder / TEXT, gcfg__vocabulary="{}"),
    "other sizes": lambda folder: _metadata(folder / TEXT, gcfg__text_config="{}"),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_damaged_world_is_refused_in_one_line(folder: Path, spoil: Any) -> None:
    spoil(folder)
    with pytest.raises(InputError) as error:
        read_world(folder)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_a_world_says_its_schedule_itself(folder: Path) -> None:
    with pytest.raises(InputError, match="leave them out"):
        read_base(str(folder), prediction_type="epsilon")


def test_a_base_that_is_no_world_cannot_be_written_as_one(base: Base, tmp_path: Path) -> None:
    base.text = None
    with pytest.raises(InputError, match="world of your own"):
        write_world(tmp_path / "world", base)
    assert not (tmp_path / "world").exists()
