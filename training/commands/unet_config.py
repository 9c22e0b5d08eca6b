"""The UNet's own config.json, for files that do not describe themselves."""

import json
from pathlib import Path
from typing import Any

from gcfg_core.errors import ConceptFileError

CONFIG_HELP = "diffusers' config.json of the UNet, where the tensors do not tell it"


def read_config(path: str | None) -> dict[str, Any] | None:
    """The configuration in a file; None for no file.

    Raises:
        ConceptFileError: it is no JSON object.
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
