"""Read the UNet's own config.json, for files that do not describe themselves."""

import json
from pathlib import Path
from typing import Any

from gcfg_core.errors import ConceptFileError

CONFIG_HELP = "diffusers' config.json of the UNet, if tensor shapes do not show the configuration"


def read_config(path: str | None) -> dict[str, Any] | None:
    """Read a configuration file; None for no path.

    Raises:
        ConceptFileError: the file is not a JSON object.
    """
    if path is None:
        return None
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise ConceptFileError(path, "a JSON object", "something else", "Give the config.json of the UNet folder.")
    return config
