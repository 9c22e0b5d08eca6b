"""Paths that a run was started with, looked for from another folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "folder"  # in run.json: where the run was started, which its relative paths begin at
PATHS = (("base",), ("data", "images"), ("model", "start"), ("model", "tokenizer"), ("model", "vae"))


def located_config(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's configuration. A relative path that leads nowhere from here begins where the run was started, if it
    leads anywhere from there."""
    config, folder = dict(record["config"]), record.get(FOLDER)
    if not isinstance(folder, str):  # of version 0.1.0
        return config
    for *sections, name in PATHS:
        section = dict(config.get(sections[0], {})) if sections else config
        path = section.get(name)
        if isinstance(path, str) and not Path(path).exists() and (Path(folder) / path).exists():
            section[name] = str(Path(folder) / path)
            if sections:
                config[sections[0]] = section
    return config
