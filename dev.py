#!/usr/bin/env python3
"""One entry point for people: python dev.py COMMAND.

  demo    run the paper's guidance graph on a real ComfyUI server and write a PNG
  test    run the linters, every test of the pack and every test of the trainer; further arguments go to pytest
  serve   open ComfyUI with this pack and small starter models; further arguments go to ComfyUI
  bench   measure, and print the tables of docs/MEASUREMENTS.md; `guidance` or `training` for a part of them, and
          `bench miniature` for the paper's experiment on the starter models (hours)
  lint    run the linters alone (check, format, types; default all)
  setup   make the environments and fetch ComfyUI, as the other commands do first

Needs Python alone: it makes .venv and fetches a ComfyUI to .comfyui, once; for the trainer's tests .venv-train. With
COMFYUI_PATH set it installs nothing and uses that ComfyUI and the interpreter that runs this file.
"""

import sys
from collections.abc import Callable

from devtools.environment import (
    HOST,
    INTERRUPTED,
    TRAINING,
    SetupError,
    ensure_host,
    ensure_training,
    first_failure,
    run,
)
from devtools.lint import LINTERS, lint, lint_all
from devtools.runtime import ensure_runtime
from devtools.suites import run_suites


def demo(arguments: list[str]) -> int:
    return run("-m", "tools.demo", *arguments)


def test(arguments: list[str]) -> int:
    ensure_training()
    return first_failure(run_suites(arguments))


def serve(arguments: list[str]) -> int:
    return run("-m", "tools.serve", *arguments)


def bench(arguments: list[str]) -> int:
    """`guidance` on ComfyUI, `training` without it; both where neither is named. `miniature` needs both in turn."""
    if arguments[:1] == ["miniature"]:
        ensure_training()
        code = run("-m", "bench.miniature", *arguments[1:])
        return code or run("-m", "training.miniature", "report", *arguments[1:], environment=TRAINING)
    names = [arguments[0]] if arguments and arguments[0] in BENCHES else list(BENCHES)
    if "training" in names:
        ensure_training()
    options = arguments[1:] if len(names) == 1 else arguments
    return first_failure([run("-m", f"bench.{name}", *options, environment=BENCHES[name]) for name in names])


def lint_command(arguments: list[str]) -> int:
    unknown = [name for name in arguments if name not in LINTERS]
    if unknown:
        raise SetupError(f"no linter {', '.join(unknown)}: there are {', '.join(LINTERS)}")
    ensure_training()
    return lint(arguments) if arguments else lint_all()


def setup(arguments: list[str]) -> int:
    ensure_training()
    return 0


BENCHES = {"guidance": HOST, "training": TRAINING}
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "demo": demo,
    "test": test,
    "serve": serve,
    "bench": bench,
    "lint": lint_command,
    "setup": setup,
}


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    name, *rest = arguments or ["help"]
    if name not in COMMANDS:
        print(__doc__)
        return 0 if name in ("help", "-h", "--help") else 2
    try:
        ensure_host()
        ensure_runtime()
        return COMMANDS[name](rest)
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
