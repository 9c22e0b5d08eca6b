"""`python -m training train` with small settings, in this process or in one of its own."""

import runpy
import sys
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState

from training.cli import main

from .bases import tiny_base
from .pictures import save_noise
from .processes import in_pair, start_logged

SIZES = [(40, 30), (32, 32), (20, 33), (64, 64), (50, 50), (32, 32)]
SMALL = {"resolution": 16, "bucket-step": 8, "workers": 0, "steps": 4, "batch-size": 2, "save-every": 2,
         "log-every": 1, "device": "cpu", "calibration-images": 3}  # fmt: skip


def make_given(folder: Path) -> Path:
    """A base, sd15, and six pictures, images, in a folder."""
    tiny_base("sd15", folder / "tokenizer", width=64).save_folder(folder / "sd15")
    save_noise(folder / "images", SIZES)
    return folder


def words(given: Path, output: Path, *arguments: str, base: str = "sd15") -> list[str]:
    """The command line: small settings, and arguments in their place."""
    flags = [part for key, value in SMALL.items() if f"--{key}" not in arguments for part in (f"--{key}", str(value))]
    paths = ["--base", str(given / base), "--images", str(given / "images"), "--output", str(output)]
    return ["train", *paths, *flags, *arguments]


def train(given: Path, output: Path, *arguments: str, base: str = "sd15") -> int:
    """Run the command in this process; returns the exit code."""
    AcceleratorState._reset_state()
    return main(words(given, output, *arguments, base=base))


def start_train(given: Path, output: Path, log: Path, *arguments: str) -> Any:
    """Run the command in a process of its own; what it prints goes into a file."""
    return start_logged(log, _run, words(given, output, *arguments))


def train_in_pair(given: Path, output: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run the command in two processes that share the work; exit code, and the output of each."""
    return in_pair(_run, output.parent, words(given, output, *arguments))


def _run(command: list[str]) -> None:
    sys.argv = ["training", *command]
    runpy.run_module("training", run_name="__main__", alter_sys=True)
