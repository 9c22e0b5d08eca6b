"""The pack's JavaScript in Node.js, without a browser: against a graph of plain objects."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rigs.host import ROOT

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node.js on this machine")


def run_module(folder: Path, script: str) -> Any:
    """What a script gives to its function ``tell``, once it has ended.

    Args:
        folder: empty; the pack's files are laid out in it, the script imports them as ``./extensions/gcfg/<file>``, and
            ``./scripts/app.js`` exports ``app``, an object without anything, ``api`` likewise.
        script: a module.
    """
    shutil.copytree(ROOT / "web", folder / "extensions" / "gcfg", ignore=shutil.ignore_patterns("docs"))
    (folder / "scripts").mkdir()
    for name in ("app", "api"):
        (folder / "scripts" / f"{name}.js").write_text(f"export const {name} = {{}};\n")
    (folder / "package.json").write_text('{"type": "module"}')
    tell = "const tell = value => process.stdout.write(JSON.stringify(value));\n"
    (folder / "main.js").write_text(tell + script, encoding="utf-8")
    ended = subprocess.run([str(NODE), "main.js"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
