"""Which way imports point: nodes -> gcfg_core <- training, and ComfyUI from nodes alone."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigs.host import ROOT

OURS = {"gcfg_core", "nodes", "training"}
ALLOWED = {"gcfg_core": {"gcfg_core"}, "nodes": {"gcfg_core", "nodes"}, "training": {"gcfg_core", "training"}}
BANNED = {
    package: set(re.findall(r"^(\w+)\.msg", (ROOT / package / "ruff.toml").read_text(encoding="utf-8"), re.MULTILINE))
    for package in ALLOWED
}
"""What the linter refuses as an absolute import; the pack's own packages too, since ComfyUI mangles the pack's name."""

MODULES = [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[bool, str]]:
    """(is relative, first package from the root of the repository or of sys.path) of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((False, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield False, (node.module or "").split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            target = path.parents[node.level - 1].relative_to(ROOT).parts + tuple((node.module or "").split("."))
            yield True, target[0] or node.names[0].name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_the_right_way(path):
    package = path.relative_to(ROOT).parts[0]
    for relative, name in imports(path):
        assert name not in OURS or name in ALLOWED[package], f"{package} imports {name}"
        assert relative or name not in BANNED[package], f"{package}/ruff.toml bans {name}"


def test_the_linter_holds_the_same_arrows():
    host = BANNED["gcfg_core"] - OURS
    assert "comfy" in host and BANNED["training"] - OURS == host and not BANNED["nodes"] & host
    for package, banned in BANNED.items():
        assert banned >= OURS - ALLOWED[package]
    assert "gcfg_core" in BANNED["gcfg_core"] and {"gcfg_core", "nodes"} <= BANNED["nodes"]


def test_core_and_concept_commands_import_without_comfyui():
    """gcfg_core, and what looks into concept files, need neither ComfyUI nor the trainer's libraries."""
    pure = [path.relative_to(ROOT).with_suffix("").parts for path in MODULES]
    names = [".".join(parts).removesuffix(".__init__") for parts in pure if parts[0] == "gcfg_core"]
    names += ["training.cli", "training.commands.inspect", "training.commands.convert"]
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nassert 'comfy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)
