"""Run many short commands of this repository as programs of their own, without an interpreter's start for each.

As a program: `python -m rigs.forked MODULE ...` imports these modules; then every line of its input is one command, for
which it forks, and is answered with the command's exit code.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

from rigs.host import ROOT


class Forked:
    """Runs `python -m MODULE ...` in the repository; a context manager.

    Args:
        module: whose command line is run.
        imports: modules that it needs, imported once.
        environment: of every command.
    """

    def __init__(self, module: str, imports: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.module = module
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "rigs.forked", *imports], cwd=ROOT, env=dict(environment), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate(timeout=60)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the module with these arguments."""
        words = [str(word) for word in arguments]
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder) / name) for name in ("stdout", "stderr")]
            assert self._parent.stdin is not None and self._parent.stdout is not None
            print(json.dumps([self.module, words, paths]), file=self._parent.stdin, flush=True)
            code = int(self._parent.stdout.readline())
            told = [Path(path).read_text(encoding="utf-8") for path in paths]
        return subprocess.CompletedProcess([self.module, *words], code, *told)


def serve(imports: list[str]) -> None:
    """Import modules, then fork for each command of the input."""
    for name in imports:
        __import__(name)
    for line in sys.stdin:
        print((_fork if hasattr(os, "fork") else _start)(*json.loads(line)), flush=True)


def _fork(module: str, words: list[str], paths: list[str]) -> int:
    child = os.fork()
    if not child:
        os._exit(_run(module, words, paths))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _start(module: str, words: list[str], paths: list[str]) -> int:
    """Where a system has no fork (Windows)."""
    with open(paths[0], "wb") as out, open(paths[1], "wb") as err:
        return subprocess.run([sys.executable, "-m", module, *words], stdout=out, stderr=err).returncode


def _run(module: str, words: list[str], paths: list[str]) -> int:
    for number, path in enumerate(paths, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve(sys.argv[1:])
