"""The trainer's commands on README.md and its guide are correct, in an environment that their first lines make."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from training.cli import COMMANDS
from training.settings.presets import PRESETS

ROOT = Path(__file__).parents[2]
README, GUIDE = ((ROOT / path).read_text(encoding="utf-8") for path in ("README.md", "docs/TRAINING.md"))
WRITTEN = re.findall(rf"python -m training ((?:{'|'.join(COMMANDS)}) [^`\n]*)", README + GUIDE)
WHOLE = sorted({line.split("  #")[0] for line in WRITTEN if "..." not in line and "--help" not in line})


@pytest.mark.parametrize("line", WHOLE)
def test_a_command_is_understood(line: str) -> None:
    name, *words = shlex.split(line)
    importlib.import_module(f"training.commands.{name}").parse(words)


def test_every_command_is_in_the_guide() -> None:
    assert {line.split()[0] for line in WHOLE} >= set(COMMANDS)


def test_what_a_preset_needs_is_installed() -> None:
    eight_bit = [name for name, one in PRESETS.items() if one.get("optimizer", {}).get("optimizer") == "adamw8bit"]
    for page in (README, GUIDE):
        assert any(f"--preset {name}" in page for name in eight_bit)
        assert "pip install bitsandbytes" in page


@pytest.mark.parametrize("page", [README[README.index("## Train a concept model") :], GUIDE], ids=["README", "guide"])
def test_an_environment_is_made_before_anything_is_installed(page: str) -> None:
    """T19: the page gives its size."""
    order = [
        "GB on the disk",
        "python -m venv",
        "pip install -r",
        "zipfile -e starter/pictures.zip",
        "pictures/toon/train",
    ]
    assert order == sorted(order, key=page.index)


def test_the_guide_says_how_commands_are_written_in_other_folders() -> None:
    assert "`python PACK/training`" in GUIDE
