"""Locate a run's files when it is opened from another folder than it was started in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "folder"  # key in run.json: the working folder at the start, which relative paths refer to
PATHS = (("base",), ("data", "images"), ("model", "start"), ("model", "tokenizer"), ("model", "vae"))


def located_config(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded configuration with its paths located. A relative path that does not exist from here is taken
    relative to the folder in which the run was started, if it exists there."""
    config, folder = dict(record["config"]), record.get(FOLDER)
    if not isinstance(folder, str):  # version 0.1.0 did not record it
        return config
    for *sections, name in PATHS:
        section = dict(config.get(sections[0], {})) if sections else config
        path = section.get(name)
        if isinstance(path, str) and not Path(path).exists() and (Path(folder) / path).exists():
            section[name] = str(Path(folder) / path)
            if sections:
                config[sections[0]] = section
    return config
