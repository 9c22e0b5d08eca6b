"""Imports point one way: nodes -> gcfg_core <- training, ComfyUI from nodes alone, no circles of files or folders."""

import ast
import graphlib
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


def module_of(package: tuple[str, ...], node: ast.ImportFrom, name: str) -> Path | None:
    """The file of this repository that `from ... import name` reads; None for other libraries."""
    base = package[: len(package) - node.level + 1] if node.level else ()
    place = ROOT.joinpath(*base, *(node.module or "").split(".")) if node.module else ROOT.joinpath(*base)
    if not node.level and (node.module or "").split(".")[0] == "nodes":  # ComfyUI's own
        return None
    candidates = (place / f"{name}.py", place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def imported_files(path: Path) -> set[Path]:
    package = path.relative_to(ROOT).parts[:-1]
    froms = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    found = {module_of(package, node, alias.name) for node in froms for alias in node.names}
    return {other for other in found if other is not None and other != path}


EVERYWHERE = [
    path
    for folder in ("bench", "devtools", "gcfg_core", "nodes", "rigs", "tools", "training")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
GRAPH = {path: imported_files(path) for path in EVERYWHERE}
"""Every file, and the files that it imports, also those for types alone."""


def room_of(path: Path) -> Path:
    """A folder; a package's own `__init__` and `__main__` put its rooms together and stand above them."""
    return path if path.stem in ("__init__", "__main__") else path.parent


def test_no_files_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(GRAPH).prepare()  # CycleError names the circle


def test_no_folders_import_each_other_in_a_circle() -> None:
    rooms: dict[Path, set[Path]] = {}
    for path, others in GRAPH.items():
        rooms.setdefault(room_of(path), set()).update(room_of(other) for other in others)
    graphlib.TopologicalSorter({room: others - {room} for room, others in rooms.items()}).prepare()


def test_the_graph_of_imports_is_the_real_one() -> None:
    """A reader of imports that finds none would let every circle pass."""
    assert ROOT / "gcfg_core" / "guidance" / "plan.py" in GRAPH[ROOT / "gcfg_core" / "guidance" / "call.py"]
    assert ROOT / "gcfg_core" / "guidance" / "call.py" in GRAPH[ROOT / "nodes" / "sampling" / "run.py"]
    assert sum(map(len, GRAPH.values())) > 1000


def test_the_linter_holds_the_same_arrows():
    host = BANNED["gcfg_core"] - OURS
    assert "comfy" in host and BANNED["training"] - OURS == host and not BANNED["nodes"] & host
    for package, banned in BANNED.items():
        assert banned >= OURS - ALLOWED[package]
    assert "gcfg_core" in BANNED["gcfg_core"] and {"gcfg_core", "nodes"} <= BANNED["nodes"]


def test_the_command_line_starts_without_torch() -> None:
    """So that `--help` answers at once, and a Python without torch gets the line that says how to install it."""
    code = "import training.cli, sys\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)


def test_core_and_concept_commands_import_without_comfyui():
    """gcfg_core, and what looks into concept files, need neither ComfyUI nor the trainer's libraries."""
    pure = [path.relative_to(ROOT).with_suffix("").parts for path in MODULES]
    names = [".".join(parts).removesuffix(".__init__") for parts in pure if parts[0] == "gcfg_core"]
    names += ["training.cli", "training.commands.inspect", "training.commands.convert"]
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nassert 'comfy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)
