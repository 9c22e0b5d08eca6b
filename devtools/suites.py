"""Run the pack's and the trainer's tests in parallel, each in its environment, on half of the processor."""

import os
import sys
import tempfile
from pathlib import Path

from devtools.environment import HOST, TRAINING, finish, run, start


def run_suites(arguments: list[str]) -> list[int]:
    """Run the test suites that the arguments name, or both by default; return their exit codes.

    While both run, the trainer's output is held back until the pack's is complete.

    Args:
        arguments: for pytest.
    """
    pack, training = pack_tests(arguments), training_tests(arguments)
    if pack is None or training is None:
        alone = ((pack, HOST), (training, TRAINING))
        return [run(*command, environment=environment) for command, environment in alone if command is not None]
    threads = str(max(1, (os.cpu_count() or 2) // 2))
    with tempfile.TemporaryFile() as said:
        print("dev.py: the trainer's tests run beside these and are shown after them", flush=True)
        beside = start(*training, environment=TRAINING, output=said, OMP_NUM_THREADS=threads)
        codes = finish(start(*pack, OMP_NUM_THREADS=threads), beside)
        said.seek(0)
        sys.stdout.write(said.read().decode(errors="replace"))
        sys.stdout.flush()
    return codes


def pack_tests(arguments: list[str]) -> list[str] | None:
    """Return the arguments for the tests on ComfyUI; None if only tests of the trainer are named."""
    if _named(arguments) and all(map(_is_training, _named(arguments))):
        return None
    return ["-m", "pytest", *(word for word in arguments if not _is_training(word))]


def training_tests(arguments: list[str]) -> list[str] | None:
    """Return the arguments for the trainer's tests; None if only other tests are named, or they cannot run."""
    named = [word for word in _named(arguments) if _is_training(word)]
    if _named(arguments) and not named:
        return None
    if not TRAINING.is_ready:
        print("dev.py: the trainer's tests are skipped: COMFYUI_PATH is set and there is no .venv-train")
        return None
    options = [word for word in arguments if word not in _named(arguments)]
    alone = ("-o", "addopts=", "--confcutdir=tests/training")
    return ["-m", "pytest", *alone, *options, *(named or ["tests/training"])]


def _named(arguments: list[str]) -> list[str]:
    """Return the arguments that name test files or folders."""
    return [word for word in arguments if Path(word.split("::")[0]).exists()]


def _is_training(word: str) -> bool:
    return Path(word).as_posix().startswith("tests/training")
