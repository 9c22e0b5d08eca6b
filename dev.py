#!/usr/bin/env python3
"""One entry point for people: python dev.py COMMAND.

  demo    run the paper's guidance graph on a real ComfyUI server and write a PNG
  test    run the linters and every test; further arguments go to pytest
  serve   open ComfyUI with this pack and small starter models; further arguments go to ComfyUI
  bench   measure, and print the tables of the README
  lint    run the linters alone (check, format, types; default all)
  setup   make the environment and fetch ComfyUI, as every other command does first

Needs Python alone: it makes .venv and fetches a ComfyUI to .comfyui, once. With COMFYUI_PATH set it installs nothing
and uses that ComfyUI and the interpreter that runs this file.
"""

import sys
from collections.abc import Callable

from devtools.environment import SetupError, ensure_environment, run
from devtools.lint import LINTERS, lint, lint_all
from devtools.runtime import ensure_runtime


def demo(arguments: list[str]) -> int:
    return run("-m", "devtools.demo", *arguments)


def test(arguments: list[str]) -> int:
    lints, tests = lint_all(), run("-m", "pytest", *arguments)
    if lints:
        print("dev.py: the linters found something; see above the tests", file=sys.stderr)
    return tests or lints


def serve(arguments: list[str]) -> int:
    return run("-m", "devtools.serve", *arguments)


def bench(arguments: list[str]) -> int:
    return run("tests/bench/run.py", *arguments)


def lint_command(arguments: list[str]) -> int:
    unknown = [name for name in arguments if name not in LINTERS]
    if unknown:
        raise SetupError(f"no linter {', '.join(unknown)}: there are {', '.join(LINTERS)}")
    return lint(arguments) if arguments else lint_all()


def setup(arguments: list[str]) -> int:
    return 0


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
        ensure_environment()
        ensure_runtime()
        return COMMANDS[name](rest)
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
