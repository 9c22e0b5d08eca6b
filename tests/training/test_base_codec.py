"""The VAE as a codec of latents."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from train_rigs.bases import tiny_base, vae_config

from training.base import codec
from training.base.codec import VaeCodec
from training.base.read import read_base
from training.device import full_float32


def _codec(chunk: int = 4, **changes: object) -> VaeCodec:
    torch.manual_seed(3)
    return VaeCodec(AutoencoderKL(**{**vae_config(0.5), **changes}).eval(), chunk)  # type: ignore[arg-type]


def test_latents_are_diffusers_scaled(tmp_path: Path) -> None:
    tiny = tiny_base("sdxl", tmp_path / "tokenizers")
    codec = read_base(str(tiny.save_folder(tmp_path / "folder"))).codec
    pixels = torch.rand(3, 3, 16, 24) * 2 - 1
    mean, deviation = codec.encode(pixels)
    with torch.no_grad():
        expected = tiny.pipeline.vae.encode(pixels).latent_dist
        decoded = tiny.pipeline.vae.decode(expected.mean).sample.clamp(-1, 1)
    assert (codec.channels, codec.factor) == (4, 2) and mean.shape == (3, 4, 8, 12)
    torch.testing.assert_close(mean, expected.mean * 0.13025)
    torch.testing.assert_close(deviation, expected.std * 0.13025)
    torch.testing.assert_close(codec.decode(mean), decoded, atol=1e-4, rtol=1e-4)


def test_chunks_change_nothing() -> None:
    pixels = torch.rand(5, 3, 8, 8) * 2 - 1
    one, many = _codec(chunk=1), _codec(chunk=8)
    for left, right in zip(one.encode(pixels), many.encode(pixels), strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        one.decode(one.encode(pixels)[0]), many.decode(many.encode(pixels)[0]), atol=1e-5, rtol=1e-4
    )


def test_shift_is_taken_off_before_scaling() -> None:
    pixels = torch.rand(1, 3, 8, 8) * 2 - 1
    plain, shifted = _codec(), _codec(shift_factor=0.25)
    torch.testing.assert_close(shifted.encode(pixels)[0], plain.encode(pixels)[0] - 0.25 * 0.5)
    torch.testing.assert_close(shifted.encode(pixels)[1], plain.encode(pixels)[1])
    torch.testing.assert_close(shifted.decode(shifted.encode(pixels)[0]), plain.decode(plain.encode(pixels)[0]))


def test_the_digest_follows_weights_and_scaling() -> None:
    digests = {_codec().digest, _codec(scaling_factor=0.6).digest, _codec(shift_factor=0.1).digest}
    assert len(digests) == 3 and _codec().digest in digests


def test_sides_must_be_multiples_of_the_factor() -> None:
    with pytest.raises(ValueError, match="sides that 2 divides"):
        _codec().encode(torch.zeros(1, 3, 7, 8))


def test_autocast_does_not_reach_it() -> None:
    pixels = torch.rand(1, 3, 8, 8) * 2 - 1
    expected = _codec().encode(pixels)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(_codec().encode(pixels)[0], expected)


def test_pictures_are_encoded_in_full_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = read_base(str(tiny_base("sd15", tmp_path / "t").save_folder(tmp_path / "sd15")))
    torch.set_float32_matmul_precision("high")
    told: list[tuple[str, bool]] = []
    encode = base.codec.vae.encode  # type: ignore[attr-defined]

    def watched(pixels: Tensor) -> Any:
        told.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
        return encode(pixels)

    monkeypatch.setattr(base.codec.vae, "encode", watched)  # type: ignore[attr-defined]
    try:
        base.codec.encode(torch.zeros(1, 3, 32, 32))
        assert told == [("highest", False)]
        assert torch.get_float32_matmul_precision() == "high" and codec.full_float32 is full_float32
    finally:
        torch.set_float32_matmul_precision("highest")
