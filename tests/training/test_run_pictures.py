"""Pictures of a run: one that cannot be drawn ends nothing, and the result is written without it."""

import shutil
from pathlib import Path

import pytest
import torch
from train_rigs.commands import make_given, train

from gcfg_core.concept.concept_file import read_concept
from training.launch import pictures
from training.state.checkpoint import checkpoints


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_given(tmp_path_factory.mktemp("given"))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory.\nTried"), OSError(28, "No space left on device"), ValueError()],
)
def test_a_grid_that_cannot_be_drawn_is_a_warning(
    given: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*given: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(pictures, "weight_grid", fail)
    monkeypatch.setattr("training.sample.scene.Scene.pictures", fail)
    assert train(given, tmp_path / "run", "--sample-every", "2") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.split(" could")[0] for line in told] == [
        "warning: no sample grid at step 2", "warning: no sample grid at step 4", "warning: no thumbnail",
    ]  # fmt: skip
    assert type(error).__name__ in told[0]
    assert read_concept(tmp_path / "run" / "run.safetensors").training["steps"] == 4
    assert len(checkpoints(tmp_path / "run" / "checkpoints")) == 2


@pytest.mark.parametrize("order", [[], ["--dry-run"]])
def test_a_prompt_that_cannot_be_read_is_refused_before_training(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], order: list[str]
) -> None:
    (tmp_path / "given").mkdir()
    shutil.copytree(given / "sd15", tmp_path / "given" / "sd15")
    shutil.rmtree(tmp_path / "given" / "sd15" / "tokenizer")
    (tmp_path / "given" / "images").symlink_to(given / "images")
    run, words = tmp_path / "run", ["--prompt", "a cat", *order]
    assert train(tmp_path / "given", run, *words, "--sample-every", "2") == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and "prompt: expected a base with tokenizer" in told[0] and "--tokenizer DIR" in told[0]
    assert not list(tmp_path.rglob("*.latent.safetensors")) and not (run / "checkpoints").exists()
    assert train(tmp_path / "given", run, *words) == 0  # nothing is drawn
