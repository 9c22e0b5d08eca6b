"""The page that a world's folder is known by, world.json, and the names of what lies beside it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, PositiveInt, ValidationError, ValidationInfo, field_validator

from gcfg_core.input_error import InputError
from gcfg_core.pixel_latents import PIXEL_FORMATS

from .weights import AGAIN, read_json

WORLD, UNET, TEXT, CARD = "world.json", "unet.safetensors", "text_encoder.safetensors", "README.md"
FORMAT = 1
# Noise levels of every world: Stable Diffusion's, the only ones that a concept checkpoint of format 1 can mean.
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}


class ScheduleFile(BaseModel, extra="forbid", frozen=True):
    """Noise levels, and what the network predicts."""

    beta_schedule: str
    beta_start: float
    beta_end: float
    num_train_timesteps: int
    prediction_type: Literal["epsilon", "v_prediction"]
    zero_terminal_snr: bool

    @field_validator(*SCHEDULE)
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        if value != SCHEDULE[str(info.field_name)]:
            raise ValueError(f"expected {SCHEDULE[str(info.field_name)]}")
        return value


class WorldFile(BaseModel, extra="forbid", frozen=True):
    """world.json. The digests (`weights.digest_of`) tie the files together: of other weights they are refused."""

    format: Literal[1] = FORMAT
    title: str
    resolution: PositiveInt = Field(description="side of its pictures in pixels")
    codec: Literal["pixels"] = "pixels"
    latent_format: str
    schedule: ScheduleFile
    unet: str = Field(description="digest of the UNet's tensors")
    text_encoder: str = Field(description="digest of the text encoder's tensors")

    @field_validator("latent_format")
    @classmethod
    def _of_pixels(cls, value: str) -> str:
        if value not in PIXEL_FORMATS.values():
            raise ValueError(f"expected one of {', '.join(PIXEL_FORMATS.values())}")
        return value


def read_world_file(folder: Path) -> WorldFile:
    """The page of a world's folder.

    Raises:
        InputError: there is none, it is damaged, or of a newer format.
    """
    path = folder / WORLD
    given = read_json(path)
    version = given.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise InputError(str(path), f"format {FORMAT}", f"the newer format {version}", "Update this trainer.")
    try:
        return WorldFile.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        message = first["msg"][0].lower() + first["msg"][1:]
        got = "none" if first["type"] == "missing" else repr(first["input"])
        raise InputError(f"{path}: {key}", message, got, AGAIN) from None
