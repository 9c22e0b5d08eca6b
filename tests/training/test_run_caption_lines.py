"""T9: lines of the plan about captions that the model does not read, or not to their end."""

from pathlib import Path

import pytest
from train_rigs.commands import make_given, train
from train_rigs.worlds import tiny_world

from training.base.world_write import write_world


@pytest.fixture
def given(tmp_path: Path) -> Path:
    return make_given(tmp_path / "given")


def captioned(given: Path, *captions: str) -> None:
    """Captions beside the first pictures."""
    for path, caption in zip(sorted((given / "images").glob("*.png")), captions, strict=False):
        path.with_suffix(".caption").write_text(caption)


TEXT = ("--dry-run", "--kind", "text", "--captions", "sidecar")


def test_captions_that_a_world_does_not_know_or_cuts_are_told(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T9: words that a small world never saw, and what comes after its eight tokens."""
    write_world(given / "world", tiny_world())
    captioned(given, "a red hat", "a red face", "a blue coat, smiling", "a red face, smiling, smiling, smiling")
    assert train(given, tmp_path / "run", *TEXT, base="world") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("captions ")]
    assert told == [
        "captions  4 found, 2 missing (trained as empty)",
        "captions  2 of 4 with words that world does not know: 'hat', 'coat'",
        "captions  1 of 4 are cut, being longer than 8 tokens: 003.png with 11",
    ]


def test_captions_of_more_than_77_tokens_are_told(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T9: 75 tokens of text, begin and end; each letter of a word is a token to the tokenizer of this base."""
    captioned(given, "a " * 75, "a " * 76, "b" * 90)
    assert train(given, tmp_path / "run", *TEXT) == 0
    told = capsys.readouterr()
    assert "captions  2 of 3 are cut, being longer than 77 tokens: 001.png with 78, 002.png with 92\n" in told.out
    assert "longer than the specified maximum" not in told.err


def test_captions_that_no_model_reads_are_told(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T9: a null-text model reads none; without any, a text model learns the empty prompt alone."""
    assert train(given, tmp_path / "run", *TEXT) == 0
    alone = "the model learns to draw these pictures under the empty prompt alone"
    assert f"captions  no picture has any: {alone}\n" in capsys.readouterr().out
    captioned(given, "a face")
    assert train(given, tmp_path / "run", "--dry-run", "--kind", "text") == 0
    assert f"captions  none are read: {alone}\n" in capsys.readouterr().out
    assert train(given, tmp_path / "run", "--dry-run", "--captions", "sidecar") == 0
    told = "captions  are not read: a null-text model learns from pictures alone; --kind text reads captions\n"
    assert told in capsys.readouterr().out
    assert train(given, tmp_path / "run", "--dry-run") == 0
    assert "are not read" not in capsys.readouterr().out
