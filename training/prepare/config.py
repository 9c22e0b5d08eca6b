"""The settings of `prepare`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

from ..data.config import BACKGROUND_HELP, MIN_SIDE_HELP
from ..data.transparency import as_hex
from ..device import DEVICE_HELP


class PrepareConfig(BaseModel, extra="forbid", frozen=True):
    """From a base to a null-text file."""

    base: str = Field(description="a diffusers folder, a single-file checkpoint, or a world")
    output: Path = Field(description="the .safetensors file to write; measurements go beside it as .report.json")
    images: Path | None = Field(None, description="folder of pictures to measure on; default: measure on noise")
    count: int = Field(16, ge=1, description="pictures to measure on")
    levels: int = Field(10, ge=1, description="noise levels per picture, spread over the noise schedule")
    resolution: int | None = Field(None, ge=8, description="side of the pictures in pixels; default: the base's own")
    min_side: int | None = Field(None, ge=1, description=MIN_SIDE_HELP)
    background: str = Field("#ffffff", description=BACKGROUND_HELP)
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="seed of the choice of pictures and of the noise"
    )
    device: str = Field("auto", description=DEVICE_HELP)
    dtype: Literal["fp32", "fp16", "bf16"] = Field(
        "fp32", description="precision of the file's weights; measuring is always in fp32"
    )
    overwrite: bool = Field(False, description="replace an existing output file")
    title: str = Field("", description="name for people")
    prediction_type: Literal["epsilon", "v_prediction"] | None = Field(
        None, description="what the base predicts, if its files do not say"
    )
    zero_terminal_snr: bool | None = Field(None, description="the base was trained with zero terminal SNR")
    vae: str | None = Field(None, description="file or folder of a VAE to use instead of the base's own")
    variant: str | None = Field(
        None, description="weights to read if there are several: fp16, non_ema ... of a folder; ema of a file"
    )

    @field_validator("background")
    @classmethod
    def _known_colour(cls, value: str) -> str:
        return as_hex(value)
