"""Which way imports point: nodes -> gcfg_core <- training, and ComfyUI from nodes alone."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigs.host import ROOT

HOST = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "folder_paths",
    "latent_preview",
    "node_helpers",
    "server",
}
OURS = {"gcfg_core", "nodes", "training"}
ALLOWED = {"gcfg_core": {"gcfg_core"}, "nodes": {"gcfg_core", "nodes"}, "training": {"gcfg_core", "training"}}
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
        if name in OURS:
            assert name in ALLOWED[package], f"{package} imports {name}"
            if package != "training":
                assert relative, f"absolute import of {name}: it breaks under the mangled name ComfyUI gives the pack"
        if name in HOST:
            assert package == "nodes", f"{package} imports {name}, but runs without ComfyUI"


def test_core_and_concept_commands_import_without_comfyui():
    """gcfg_core, and what looks into concept files, need neither ComfyUI nor the trainer's libraries."""
    pure = [path.relative_to(ROOT).with_suffix("").parts for path in MODULES]
    names = [".".join(parts).removesuffix(".__init__") for parts in pure if parts[0] == "gcfg_core"]
    names += ["training.cli", "training.commands.inspect", "training.commands.convert"]
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nassert 'comfy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)
