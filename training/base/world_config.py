"""The recipe of a small world: network sizes, and the seed of the initial weights."""

import importlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError

from gcfg_core.errors import InputError

from ..console.setting_error import setting_error

RECIPES = (".toml", ".json")
Width = Annotated[int, Field(gt=0, multiple_of=32)]


class WorldConfig(BaseModel, extra="forbid", frozen=True):
    """A UNet and a text encoder to train together from scratch, with Stable Diffusion's noise levels."""

    channels: tuple[Width, ...] = Field((64, 96, 96), min_length=1, description="widths of the levels, multiples of 32")
    layers: PositiveInt = Field(1, description="residual blocks of each level")
    attention: tuple[bool, ...] = Field((False, True, True), description="levels that read text, besides the middle")
    heads: PositiveInt = Field(4, description="attention heads of each level")
    context: PositiveInt = Field(64, description="width of the text encoder and its features")
    text_layers: PositiveInt = Field(2, description="layers of the text encoder")
    text_heads: PositiveInt = Field(4, description="attention heads of the text encoder")
    tokens: Annotated[int, Field(ge=3)] = Field(32, description="tokens of a caption, begin and end included")
    vocabulary: Annotated[int, Field(gt=4)] = Field(2048, description="maximal tokens; the rarest words become unknown")
    resolution: PositiveInt = Field(32, description="side of its pictures in pixels")
    block: Literal[1, 2, 4] = Field(1, description="side of the pixel block in a latent pixel: 2 is 4 x faster")
    prediction_type: Literal["epsilon", "v_prediction"] = "v_prediction"
    zero_terminal_snr: bool = True
    seed: NonNegativeInt = Field(0, description="seed of the initial weights")


def is_recipe(path: str | Path) -> bool:
    """True if the path is a recipe file, TOML or JSON."""
    return Path(path).suffix.lower() in RECIPES and Path(path).is_file()


def read_world_config(path: str | Path) -> WorldConfig:
    """Read the settings of a TOML or JSON file.

    Raises:
        InputError: the file cannot be read, or a setting is unknown or wrong.
    """
    name = Path(path).name
    try:
        given = _parsed(Path(path))
    except (OSError, ValueError) as error:  # broken TOML, JSON or UTF-8 raises ValueError
        reason = " ".join(str(error).split())
        raise InputError(str(path), "a new world as TOML or JSON", reason, "Correct it.") from None
    if not isinstance(given, dict):
        raise InputError(str(path), "settings of a new world", type(given).__name__, "Correct it.")
    return world_config(given, name)


def world_config(given: dict[str, Any], name: str = "world") -> WorldConfig:
    """Validate settings; ``name`` is for messages.

    Raises:
        InputError: the first unknown or wrong setting.
    """
    try:
        return WorldConfig.model_validate(given)
    except ValidationError as error:
        raise setting_error(error, WorldConfig, name) from None


def _parsed(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".json":
        return json.loads(text)
    return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli").loads(text)
