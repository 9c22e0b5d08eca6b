"""T16: a command whose output nobody reads any more, as before `| head`, ends without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.console.endings import BAD_INPUT, CLOSED_OUTPUT, ends_with_its_reader

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "words, code",
    [(["--help"], CLOSED_OUTPUT), (["inspect", "starter/world"], CLOSED_OUTPUT),
     (["inspect", "--help"], 0)],  # argparse itself passes over it
)  # fmt: skip
def test_commands_end_quietly(words: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "training", *words], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (code, "")


def test_another_broken_pipe_stays_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    @ends_with_its_reader
    def command() -> int:
        raise BrokenPipeError(32, "a worker has gone")

    assert command() == BAD_INPUT and "a worker has gone" in capsys.readouterr().err
