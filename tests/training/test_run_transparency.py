"""T14: transparent parts in the loss, in whole runs, in the model card and in `evaluate`."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from train_rigs.commands import make_given, train
from train_rigs.pictures import save_half_transparent
from train_rigs.runs import final_tensors
from train_rigs.samples import SMALL

from training.cli import main
from training.loop.step import Batch, Noised, sample_losses


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
    save_half_transparent(folder / "images" / "clear.png")
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


def test_evaluate_takes_the_background_of_the_run(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The colour that the run was trained on, unless another is given."""
    monkeypatch.setattr("training.commands.evaluate.open_extractor", lambda which, size: SMALL)
    assert train(given, tmp_path / "run", "--background", "black", "--steps", "1") == 0
    for number in range(4):
        save_half_transparent(tmp_path / "real" / f"{number}.png", size=(32, 32 + number))

    def distance(*words: str) -> float:
        shared = ("--real", str(tmp_path / "real"), "--device", "cpu", "--output", str(tmp_path / "out"))
        assert main(["evaluate", *shared, *words]) == 0
        return json.loads((tmp_path / "out" / "evaluation.json").read_text())["scores"]["fd"]

    own = distance("--run", str(tmp_path / "run"), "--count", "4", "--steps", "1")
    drawn = ("--generated", str(tmp_path / "out" / "generated"))
    assert own == distance(*drawn, "--background", "black") != distance(*drawn)
