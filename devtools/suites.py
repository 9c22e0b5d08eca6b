"""The tests of the pack and those of the trainer, side by side: each in its environment, on half of the processor."""

import os
import sys
import tempfile
from pathlib import Path

from devtools.environment import HOST, TRAINING, finish, run, start


def run_suites(arguments: list[str]) -> list[int]:
    """Run the suites that the arguments name tests of, both if they name none; their exit codes.

    What the trainer's says while both run comes after the pack's.

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
    """The command of the tests on ComfyUI; None where the arguments name tests of the trainer alone."""
    if _named(arguments) and all(map(_is_training, _named(arguments))):
        return None
    return ["-m", "pytest", *(word for word in arguments if not _is_training(word))]


def training_tests(arguments: list[str]) -> list[str] | None:
    """The command of the trainer's tests; None where the arguments name other tests alone, or they cannot be run."""
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
    """The words that name test files or folders."""
    return [word for word in arguments if Path(word.split("::")[0]).exists()]


def _is_training(word: str) -> bool:
    return Path(word).as_posix().startswith("tests/training")
