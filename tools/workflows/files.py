"""The files of the workflows: write them, and compare them with the existing files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .cards import cards
from .definitions import WORKFLOWS
from .graph import api_prompt
from .interface import interface_graph

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workflows"
API = FOLDER / "api"
CARDS = ROOT / "web" / "templates.json"


def contents() -> dict[Path, str]:
    """Return every file that the definitions make, with its contents."""
    workflows = [define() for define in WORKFLOWS]
    files = {CARDS: _json(cards(workflows))}
    for workflow in workflows:
        files[FOLDER / f"{workflow.name}.json"] = _json(interface_graph(workflow))
        files[API / f"{workflow.name}.json"] = _json(api_prompt(workflow))
    return files


def write() -> list[Path]:
    """Write the files that are new or changed, and return their paths."""
    API.mkdir(parents=True, exist_ok=True)
    changed = [path for path, text in contents().items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in changed:
        path.write_text(contents()[path], encoding="utf-8", newline="\n")
    return changed


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
