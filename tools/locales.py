"""Write the English texts of the nodes for ComfyUI's interface: python -m tools.locales.

locales/en/nodeDefs.json follows from the nodes' schemas. The other languages are written by hand; this command lists
their missing texts, and a test requires all of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .interpreter import run_elsewhere

FOLDER = Path(__file__).resolve().parents[1] / "locales"
CONTROL = "control_after_generate"
"""The widget that ComfyUI's interface puts below a seed."""

Texts = dict[str, dict[str, Any]]


def read(language: str) -> Texts:
    """Read the texts of a language, {node id: display_name, description, inputs, outputs}."""
    path = FOLDER / language / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def english(nodes: list[type]) -> Texts:
    """Return the texts in these nodes' schemas, in the form of nodeDefs.json."""
    return {schema.node_id: _texts(schema) for schema in (node.define_schema() for node in nodes)}


def _texts(schema: Any) -> dict[str, Any]:
    inputs = {}
    for one in schema.inputs:
        inputs[one.id] = {"name": one.id, "tooltip": one.tooltip}
        if getattr(one, CONTROL, None):
            inputs[CONTROL] = {"name": CONTROL.replace("_", " ")}
    outputs = {str(i): {"name": one.display_name, "tooltip": one.tooltip} for i, one in enumerate(schema.outputs)}
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": inputs,
        "outputs": outputs,
    }


def keys(texts: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return the path of every text in a tree of texts."""
    if not isinstance(texts, dict):
        return {path}
    return {whole for key, inner in texts.items() for whole in keys(inner, (*path, key))}


def main() -> int:
    """Write the English file and return the exit code: 1 if another language lacks a text."""
    if (code := run_elsewhere("tools.locales")) is not None:
        return code
    from rigs.host import enter_host

    enter_host()
    import asyncio

    from rigs.pack import load_pack

    nodes = asyncio.run(load_pack().module("nodes").GCFGExtension().get_node_list())
    texts = english(nodes)
    path = FOLDER / "en" / "nodeDefs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(texts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)
    languages = sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir() and folder.name != "en")
    lacks = {language: keys(texts) ^ keys(read(language)) for language in languages}
    for language, paths in lacks.items():
        for key in sorted(paths):
            print(f"{language}: lacks, or has too much: {'.'.join(key)}")
    return int(any(lacks.values()))


if __name__ == "__main__":
    sys.exit(main())
