"""The whole trainer imports in this environment, which has its requirements and no ComfyUI."""

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "training").rglob("*.py"))
    if path.stem != "__main__"
]


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name: str) -> None:
    importlib.import_module(name)


def test_there_is_no_comfyui_here() -> None:
    for name in ("comfy", "comfy_api", "folder_paths"):
        assert importlib.util.find_spec(name) is None
        assert name not in sys.modules
