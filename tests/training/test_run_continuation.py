"""From a run to the next: older checkpoints, the best of them (T7), and training on with other settings (T6, T20)."""

import json
from pathlib import Path

import pytest
import torch
from train_rigs.commands import make_given, train
from train_rigs.pictures import save_noise
from train_rigs.runs import final_tensors

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.lora import DOWN, UP, lora_delta
from gcfg_core.concept.lora_file import read_lora_concept
from training.cli import main
from training.state.best import best_kept
from training.state.checkpoint import CHECKPOINTS, checkpoints, read_checkpoint

KEPT = ("--keep-last", "3", "--save-every", "1", "--held-out", "1", "--validate-every", "1", "--lr-schedule", "cosine")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_given(tmp_path_factory.mktemp("given"))
    save_noise(folder / "images", [(32, 32)] * 6)
    return folder


@pytest.fixture(scope="module")
def run(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cosine run of four steps that keeps the last three, step 3 of them validated best."""
    folder = tmp_path_factory.mktemp("runs") / "cats"
    losses = [{"ema-0.05": 0.1 if step == 3 else 0.2, "ema-0.1": step / 10} for step in (1, 2, 3, 4)]
    with pytest.MonkeyPatch.context() as patch:
        _validate_as(losses, patch)
        assert train(given, folder, *KEPT, "--export-dtype", "fp32") == 0
    with open(folder / "metrics.jsonl", "a") as metrics:
        metrics.write('{"step": 4, "valid')  # torn
    return folder


def _validate_as(losses: list[dict[str, float]], patch: pytest.MonkeyPatch) -> None:
    """Give these losses, one validation after another, in place of measured ones."""
    named = iter([{f"validation/{name}": loss for name, loss in each.items()} for each in losses])
    patch.setattr("training.loop.trainer.validate", lambda *_: next(named))


def test_the_best_checkpoint_is_kept_beside_the_newest(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T7: until a better one is there, also across a resumption; by the average that is exported."""
    _validate_as([{"ema-0.05": loss, "ema-0.1": 1 - loss} for loss in (0.3, 0.1, 0.2, 0.4, 0.3)], monkeypatch)
    words = (*KEPT[2:8], "--keep-last", "1")
    assert train(given, tmp_path / "run", *words, "--steps", "3") == 0
    assert train(given, tmp_path / "run", *words, "--steps", "5") == 0
    kept = checkpoints(tmp_path / "run" / CHECKPOINTS)
    assert [path.name for path in kept] == ["step-00000002", "step-00000005"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["best"]["step"] == 2
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "best.safetensors"), "--best"]) == 0
    assert read_concept(tmp_path / "best.safetensors").training["steps"] == 2


@pytest.mark.parametrize(
    "words, step, average",
    [(["--step", "2"], 2, "ema-0.05"), (["--best"], 3, "ema-0.05"), ([], 4, "ema-0.05"),
     (["--best", "--average", "ema-0.1"], 2, "ema-0.1")],
)  # fmt: skip
def test_any_kept_step_can_be_exported(run: Path, tmp_path: Path, words: list[str], step: int, average: str) -> None:
    """T7."""
    assert main(["export", str(run), str(tmp_path / "a.safetensors"), *words]) == 0
    made = read_concept(tmp_path / "a.safetensors")
    kept = read_checkpoint(checkpoints(run / CHECKPOINTS)[step - 2])
    assert kept.step == step == made.training["steps"]
    assert torch.equal(made.tensors["conv_in.weight"], kept.tensors[average]["unet.conv_in.weight"])


@pytest.mark.parametrize(
    "words, told",
    [(["--step", "1"], "step: expected 2 or 3 or 4, got 1. Name a kept step; `train --keep-last`"),
     (["--step", "2", "--best"], "expected --step N or --best, got both"),
     (["--best", "--average", "ema-0.7"], "at whose step ema-0.7 was validated, got none")],
)  # fmt: skip
def test_a_step_that_is_not_kept_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    """T7."""
    assert main(["export", str(run), str(tmp_path / "a.safetensors"), *words]) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_finished_run_says_what_validated_best_and_how_to_train_on(
    given: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T6, T7: no advice to give more steps, which a cosine run refuses; the refusal names the way (T20)."""
    record = json.loads((run / "run.json").read_text())
    assert record["best"]["average"] == "ema-0.05" and record["best"]["step"] == 3
    start = f"give another --output and --start {run / 'cats.safetensors'}"
    assert train(given, run, *KEPT, "--export-dtype", "fp32", "--dry-run") == 0
    told = capsys.readouterr().out
    assert f"its learning rate has reached 0. To train on from it with other settings, {start}); step 3" in told
    assert "step 3 validated best of 3 kept checkpoints (ema-0.05 0.1)" in told and "more --steps" not in told
    for other in (["--steps", "8"], ["--lr", "1e-2"], ["--precision", "bf16"], ["--flip", "0"]):
        assert train(given, run, *KEPT, *other) == 2
        assert start in capsys.readouterr().err
    assert train(given, run, *KEPT, "--kind", "null-text-lora") == 2  # another network: nothing to start from
    assert "--start" not in capsys.readouterr().err


def test_a_constant_run_may_be_made_longer(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T6."""
    assert train(given, tmp_path / "run") == 0 and train(given, tmp_path / "run", "--dry-run") == 0
    assert "(more --steps continue from there)" in capsys.readouterr().out
    assert train(given, tmp_path / "run", "--steps", "5") == 0 and best_kept(tmp_path / "run", "ema-0.05") is None


def test_training_on_begins_with_the_result(given: Path, run: Path, tmp_path: Path) -> None:
    """T20: a whole network at a learning rate of next to nothing stays as it was."""
    start = ["--start", str(run / "cats.safetensors"), "--lr", "1e-30", "--steps", "1", "--export-dtype", "fp32"]
    assert train(given, tmp_path / "on", *start, "--weight-decay", "0") == 0
    before, after = read_concept(run / "cats.safetensors"), read_concept(tmp_path / "on" / "on.safetensors")
    assert all(torch.equal(value, after.tensors[key]) for key, value in before.tensors.items())


def test_a_lora_is_trained_on_with_the_effect_that_it_had(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T20: the factors are the start, at another alpha too; `export` knows its constants."""
    lora = ["--kind", "null-text-lora", "--lora-rank", "2", "--export-dtype", "fp32", "--weight-decay", "0"]
    assert train(given, tmp_path / "a", *lora, "--lr", "1e-2", "--lora-alpha", "1") == 0
    start = ["--start", str(tmp_path / "a" / "a.safetensors"), "--lr", "1e-30", "--steps", "1"]
    assert train(given, tmp_path / "b", *lora, *start, "--lora-alpha", "4") == 0
    before, after = (read_lora_concept(tmp_path / name / f"{name}.safetensors") for name in "ab")
    assert after.layers == before.layers and after.scale == 4 * before.scale
    for layer in before.layers:
        effects = [
            lora_delta(lora.factors[layer + DOWN], lora.factors[layer + UP], lora.scale) for lora in (before, after)
        ]
        torch.testing.assert_close(*effects, rtol=1e-5, atol=1e-8)
    assert any(float(value.abs().max()) > 0 for key, value in after.factors.items() if "lora_B" in key)
    assert all(torch.equal(value, after.features[key]) for key, value in before.features.items())
    assert main(["export", str(tmp_path / "b"), str(tmp_path / "c.safetensors"), "--average", "weights"]) == 0
    named = {key.replace(".default.", "."): value for key, value in final_tensors(tmp_path / "b").items()}
    made = read_lora_concept(tmp_path / "c.safetensors").factors
    assert all(torch.equal(value, named[f"weights: unet.{key}"]) for key, value in made.items())
    capsys.readouterr()
    assert train(given, tmp_path / "d", *lora, *start, "--lora-rank", "4") == 2
    assert "start: expected a LoRA of these lora_targets and this lora_rank" in capsys.readouterr().err


def test_a_start_that_has_no_effect_is_refused(
    given: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T20: a model that reads text begins with its base."""
    assert train(given, tmp_path / "text", "--kind", "text", "--start", str(run / "cats.safetensors")) == 2
    assert "start: expected no start file for a model that reads text" in capsys.readouterr().err
