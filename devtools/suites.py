"""Run the pack's and the trainer's tests in parallel, each in its environment, and the linters beside them."""

import contextlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devtools.environment import HOST, TRAINING, Environment, Follow, finish, start

LINT = ("dev.py", "lint")
SHARING = ("-p", "devtools.shared_files")
FOLDER = "GCFG_TEST_FILES"
"""The variable that names the folder with an entry for each test file that no process has taken yet."""


@dataclass(frozen=True)
class Suite:
    """A test suite while both run.

    Attributes:
        words: its command.
        folder: where its processes take the test files from.
        threads: how many each process may use.
    """

    words: list[str]
    environment: Environment
    folder: Path
    threads: int

    def start(self, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Run the files that no other process has taken."""
        variables = {"OMP_NUM_THREADS": str(self.threads), FOLDER: str(self.folder)}
        return start(*self.words, *SHARING, environment=self.environment, output=output, **variables)

    @property
    def has_files_left(self) -> bool:
        """True if files are left that no process has taken; False before the first process has listed them."""
        return self.folder.is_dir() and any(self.folder.iterdir())


def run_suites(arguments: list[str]) -> list[int]:
    """Run the test suites that the arguments name, or both by default, and the linters; return all exit codes.

    Args:
        arguments: for pytest.
    """
    pack, training = pack_tests(arguments), training_tests(arguments)
    if pack is None or training is None:
        alone = ((pack, HOST), (training, TRAINING))
        started = [start(*words, environment=environment) for words, environment in alone if words is not None]
        return _beside_the_linters(*started)
    threads = max(1, (os.cpu_count() or 2) // 2)
    with tempfile.TemporaryDirectory() as folder:
        return _side_by_side(
            Suite(pack, HOST, Path(folder) / "pack", threads),
            Suite(training, TRAINING, Path(folder) / "training", threads),
        )


def _side_by_side(pack: Suite, training: Suite) -> list[int]:
    """Run both; the suite that ends first leaves its half of the processor to a second process of the other suite.

    The terminal shows the pack's first process as it runs, and the others' output after it.
    """
    print("dev.py: the trainer's tests and the linters run beside these and are shown after them", flush=True)
    with contextlib.ExitStack() as files:
        beside, helping = (files.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        first = pack.start()

        def help_the_other(ended: subprocess.Popen[bytes]) -> subprocess.Popen[bytes] | None:
            other = training if ended is first else pack
            return other.start(helping) if ended in both and other.has_files_left else None

        both = (first, training.start(beside))
        codes = _beside_the_linters(*both, follow=help_the_other)
        for output in (beside, helping):
            _show(output)
    return codes


def _beside_the_linters(*tests: subprocess.Popen[bytes], follow: Follow = lambda ended: None) -> list[int]:
    """Wait for tests and linters; show the linters' output, and return all exit codes."""
    with tempfile.TemporaryFile() as linting:
        codes = finish(*tests, start(*LINT, output=linting), follow=follow)
        _show(linting)
    return codes


def _show(output: IO[bytes]) -> None:
    output.seek(0)
    sys.stdout.write(output.read().decode(errors="replace"))
    sys.stdout.flush()


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
