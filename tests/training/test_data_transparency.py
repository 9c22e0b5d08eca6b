"""Transparent parts and mirroring are told, and what becomes of them is a setting (T14)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from train_rigs.commands import make_given, train
from train_rigs.pictures import TinyCodec, data_config, noise_image, save_noise
from train_rigs.runs import final_tensors

from training.data.buckets import make_buckets
from training.data.dataset import batches
from training.data.latent_cache import LatentCache
from training.data.latent_entry import entry_key
from training.data.latent_reader import wanted_latents
from training.data.order import BatchPlan
from training.data.pixels import load_pixels
from training.data.scan import Scan, scan_folder
from training.run.step import Batch, Noised, sample_losses
from training.setting_error import setting_error

WHITE_HALF = (32, 32)


def _save(path: Path, left_alpha: int = 0, size: tuple[int, int] = WHITE_HALF) -> None:
    """Noise whose left half is as opaque as is said."""
    image = noise_image(*size, 7).convert("RGBA")
    alpha = Image.new("L", size, 255)
    alpha.paste(left_alpha, (0, 0, size[0] // 2, size[1]))
    image.putalpha(alpha)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """One picture with transparency, one with an alpha of 255 everywhere, one without alpha."""
    folder = tmp_path / "images"
    _save(folder / "a.png")
    _save(folder / "b.png", left_alpha=255, size=(33, 32))
    save_noise(folder, [(32, 32)])
    return folder


def _line(scan: Scan, start: str) -> list[str]:
    return [line for line in scan.report().splitlines() if line.startswith(start)]


def test_the_report_tells_what_becomes_of_transparency(images: Path) -> None:
    scan = scan_folder(data_config(images))
    assert [picture.transparent for picture in scan.pictures] == [False, True, False]
    [line] = _line(scan, "alpha ")
    assert "1 pictures have transparent parts, composited onto #ffffff (--background)" in line
    [line] = _line(scan_folder(data_config(images, background="black", alpha_mask=True)), "alpha ")
    assert "onto #000000" in line and "left out of the loss (--alpha-mask)" in line
    (images / "a.png").unlink()
    assert _line(scan_folder(data_config(images)), "alpha ") == []
    [line] = _line(scan_folder(data_config(images, alpha_mask=True)), "alpha ")
    assert "--alpha-mask does nothing" in line


@pytest.mark.parametrize(
    ("flip", "told"), [(0.5, "with a probability of 0.5"), (0.0, "never"), (1.0, "left to right, always")]
)
def test_the_report_tells_how_often_pictures_are_mirrored(images: Path, flip: float, told: str) -> None:
    [line] = _line(scan_folder(data_config(images, flip=flip)), "mirrored ")
    assert told in line and line.endswith("(--flip)")


def test_what_a_scan_remembers_has_transparency(images: Path, tmp_path: Path) -> None:
    config = data_config(images, cache=tmp_path / "cache")
    assert scan_folder(config).pictures == scan_folder(config).pictures
    assert [picture.transparent for picture in scan_folder(config).pictures] == [False, True, False]


@pytest.mark.parametrize(
    ("given", "colour"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48)), ("Black", (0, 0, 0))]
)
def test_transparent_parts_take_the_background(images: Path, given: str, colour: tuple[int, int, int]) -> None:
    config = data_config(images, background=given)
    picture = scan_folder(config).pictures[1]
    pixels, opacity = load_pixels(picture, picture.size, config.transparency.background)
    assert opacity is not None
    expected = torch.tensor(colour).div(127.5).sub(1.0)[:, None, None].expand(-1, 32, 16)
    torch.testing.assert_close(pixels[:, :, :16], expected)
    assert bool((opacity[:, :, :16] == 0).all()) and bool((opacity[:, :, 16:] == 1).all())
    unseen, _ = load_pixels(picture, picture.size)
    assert torch.equal(pixels[:, :, 16:], unseen[:, :, 16:])


def test_a_colour_has_one_name_and_others_are_refused(images: Path) -> None:
    assert data_config(images, background="white") == data_config(images, background="#FFF") == data_config(images)
    with pytest.raises(ValueError) as caught:
        data_config(images, background="whitish")
    told = str(setting_error(caught.value, type(data_config(images))))  # type: ignore[arg-type]
    assert "background: expected a colour such as white, black or #808080, got 'whitish'" in told


def _cache(folder: Path, scan: Scan) -> LatentCache:
    return LatentCache(folder, TinyCodec(), {"precision": "float32"}, scan.config.transparency)


def _keys(images: Path, **settings: Any) -> list[str]:
    scan = scan_folder(data_config(images, **settings))
    return [_cache(images, scan).key(picture, picture.size, False) for picture in scan.pictures]


def test_latents_of_the_default_keep_the_names_of_version_0_1_0(images: Path) -> None:
    scan = scan_folder(data_config(images))
    expected = [entry_key(p.sha256, "tiny", p.size, False, {"precision": "float32"}) for p in scan.pictures]
    assert _keys(images) == expected


def test_what_becomes_of_transparency_is_in_the_names_of_latents_that_have_some(images: Path) -> None:
    kinds: list[Mapping[str, Any]] = [
        {}, {"background": "black"}, {"background": "red"}, {"alpha_mask": True},
        {"alpha_mask": True, "background": "black"},
    ]  # fmt: skip
    keys = [_keys(images, **kind) for kind in kinds]
    assert len({first for first, _, _ in keys}) == 1 and len({last for _, _, last in keys}) == 1
    assert len({clear for _, clear, _ in keys}) == len(kinds)


@dataclass(frozen=True)
class Filled:
    scan: Scan
    cache: LatentCache
    plan: BatchPlan


def _filled(images: Path, folder: Path, **settings: Any) -> Filled:
    scan = scan_folder(data_config(images, **settings))
    cache = _cache(folder, scan)
    buckets = make_buckets([picture.size for picture in scan.pictures], scan.config)
    wanted = wanted_latents(scan.pictures, buckets, scan.config.flip)
    estimate = cache.estimate(wanted)
    cache.fill(wanted, batch=2)
    assert estimate == sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return Filled(scan, cache, BatchPlan(buckets, 2, 3, scan.config.flip))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_have_the_masks_of_their_pictures(images: Path, tmp_path: Path, workers: int) -> None:
    given = _filled(images, tmp_path / "cache", alpha_mask=True)
    seen = set()
    for batch in batches(given.plan, given.cache, given.scan, 0, 12, workers=workers):
        assert batch.mask is not None and batch.mask.shape == (2, 1, *batch.latents.shape[2:])
        for index, slot in enumerate(given.plan.slots(batch.step)):
            expected = torch.ones(1, 4, 4)
            if given.scan.pictures[slot.picture].name == "a.png":
                expected[:, :, slice(2, None) if slot.flip else slice(2)] = 0.0
                seen.add(slot.flip)
            assert torch.equal(batch.mask[index], expected)
    assert seen == {False, True}


def test_without_the_option_there_are_no_masks(images: Path, tmp_path: Path) -> None:
    given = _filled(images, tmp_path / "cache")
    assert all(batch.mask is None for batch in batches(given.plan, given.cache, given.scan, 0, 4))


class Fixed(nn.Module):
    """Answers what it was given, whatever it is asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = nn.Parameter(answer)

    def forward(self, x: Tensor, t: Tensor, captions: list[str], time_ids: Tensor | None) -> Tensor:
        return self.answer


def _loss(answer: Tensor, target: Tensor, mask: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Losses, and their gradient with respect to the answer."""
    network = Fixed(answer.clone())
    count = len(answer)
    batch = Batch(torch.zeros_like(answer), [""] * count, range(count), mask=mask)
    losses = sample_losses(network, batch, Noised(answer, target, torch.zeros(count), weight))
    losses.sum().backward()
    assert network.answer.grad is not None
    return losses.detach(), network.answer.grad


def test_a_masked_loss_is_the_mean_over_what_the_mask_leaves() -> None:
    answer, target, weight = torch.randn(2, 4, 6, 8), torch.randn(2, 4, 6, 8), torch.tensor([1.0, 0.5])
    mask = torch.zeros(2, 1, 6, 8)
    mask[0, :, :, 5:], mask[1] = 1.0, 1.0
    losses, gradient = _loss(answer, target, mask, weight)
    plain, _ = _loss(answer[:, :, :, 5:], target[:, :, :, 5:], None, weight)
    whole, _ = _loss(answer, target, None, weight)
    torch.testing.assert_close(losses, torch.stack([plain[0], whole[1]]))
    assert bool((gradient[0, :, :, :5] == 0).all()) and bool((gradient[0, :, :, 5:] != 0).all())


def test_half_transparent_parts_count_half_and_nothing_left_is_no_loss() -> None:
    answer, target, weight = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2), torch.ones(1)
    mask = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    error = (answer - target).square().mean(1)[0]
    losses, _ = _loss(answer, target, mask, weight)
    torch.testing.assert_close(losses[0], (error[0, 0] + 0.5 * error[0, 1]) / 1.5)
    losses, gradient = _loss(answer, target, torch.zeros(1, 1, 2, 2), weight)
    assert losses.tolist() == [0.0] and not bool(gradient.any())


def test_microbatches_take_their_masks_along() -> None:
    mask = torch.rand(5, 1, 2, 2)
    pieces = Batch(torch.rand(5, 4, 2, 2), [""] * 5, range(5), mask=mask).split(2)
    assert [len(piece.latents) for piece in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece.mask for piece in pieces]), mask)  # type: ignore[misc]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_given(tmp_path_factory.mktemp("given"))
    _save(folder / "images" / "clear.png")
    return folder


HELD = ("--held-out", "2", "--validate-every", "2")


def test_a_masked_run_goes_on_to_the_bit(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--alpha-mask", "--background", "black", *HELD)
    assert train(given, tmp_path / "whole", *settings) == 0
    assert train(given, tmp_path / "parts", *settings, "--steps", "2") == 0
    assert train(given, tmp_path / "parts", *settings) == 0
    assert train(given, tmp_path / "plain", *HELD) == 0
    whole, parts, plain = (final_tensors(tmp_path / name) for name in ("whole", "parts", "plain"))
    assert all(torch.equal(value, parts[key]) for key, value in whole.items())
    assert not all(torch.equal(value, plain[key]) for key, value in whole.items())
    capsys.readouterr()
    assert train(given, tmp_path / "parts", *HELD) == 2
    assert "error: data.background: expected #000000 as in the run" in capsys.readouterr().err
    assert train(given, tmp_path / "parts", "--background", "black", *HELD) == 2
    assert "error: data.alpha_mask: expected true as in the run" in capsys.readouterr().err


def test_a_run_of_version_0_1_0_goes_on_to_the_bit(given: Path, tmp_path: Path) -> None:
    """It noted neither setting; its latents and what it knew of its files stay."""
    assert train(given, tmp_path / "whole", *HELD) == 0
    assert train(given, tmp_path / "old", "--steps", "2", *HELD) == 0
    record = json.loads((tmp_path / "old" / "run.json").read_text())
    for name in ("background", "alpha_mask"):
        del record["settings"][f"data.{name}"], record["config"]["data"][name]
    (tmp_path / "old" / "run.json").write_text(json.dumps(record))
    [index] = (tmp_path / "old" / "cache").glob("scan-*.json")
    known = json.loads(index.read_text())
    known["header"]["index"] = 1
    known["files"] = {name: [stamp, facts[:4]] for name, (stamp, facts) in known["files"].items()}
    index.write_text(json.dumps(known))
    latents = {path: path.stat().st_mtime_ns for path in (tmp_path / "old").rglob("*.latent.safetensors")}
    assert train(given, tmp_path / "old", *HELD) == 0
    whole, old = final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "old")
    assert all(torch.equal(value, old[key]) for key, value in whole.items())
    assert latents == {path: path.stat().st_mtime_ns for path in (tmp_path / "old").rglob("*.latent.safetensors")}


def test_the_model_card_tells_it(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(given, tmp_path / "run", "--alpha-mask", "--steps", "1") == 0
    card = (tmp_path / "run" / "README.md").read_text()
    assert "| Mirrored | left to right with a probability of 0.5 |" in card
    assert "| Transparent parts | composited onto #ffffff, left out of the loss |" in card
    assert train(given, tmp_path / "other", "--alpha-mask", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "mirrored  left to right" in told and "alpha     1 pictures have transparent parts" in told
