"""The trainer's commands in README.md are ones that it understands, in an environment that its first line makes."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from training.cli import COMMANDS
from training.settings.presets import PRESETS

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TOLD = re.findall(r"python -m training ((?:train|prepare|sample|evaluate|export|inspect|convert) [^`\n]*)", README)
WHOLE = [line.split("  #")[0] for line in TOLD if "..." not in line and "--help" not in line]


@pytest.mark.parametrize("line", WHOLE)
def test_a_command_is_understood(line: str) -> None:
    name, *words = shlex.split(line)
    importlib.import_module(f"training.commands.{name}").parse(words)


def test_every_command_is_told() -> None:
    assert {line.split()[0] for line in WHOLE} >= set(COMMANDS)


def test_what_a_preset_needs_is_installed() -> None:
    eight_bit = [name for name, one in PRESETS.items() if one.get("optimizer", {}).get("optimizer") == "adamw8bit"]
    assert any(f"--preset {name}" in README for name in eight_bit)
    assert "pip install bitsandbytes" in README


def test_an_environment_is_made_before_anything_is_installed() -> None:
    """T19: its size is told, and how the commands are written in other folders."""
    section = README[README.index("## Train a concept model") :]
    assert section.index("GB on the disk") < section.index("python -m venv") < section.index("pip install -r")
    assert "`python PACK/training`" in section
