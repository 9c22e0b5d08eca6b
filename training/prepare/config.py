"""What a user can say about preparing a null-text start."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

from ..data.config import BACKGROUND_HELP, MIN_SIDE_HELP
from ..data.transparency import as_hex
from ..device import DEVICE_HELP


class PrepareConfig(BaseModel, extra="forbid", frozen=True):
    """From a base to a null-text file."""

    base: str = Field(description="a diffusers folder, a single-file checkpoint, or a world")
    output: Path = Field(description="the .safetensors file to write; a report is written beside it as .report.json")
    images: Path | None = Field(None, description="folder of pictures to measure on; without it, on noise alone")
    count: int = Field(16, ge=1, description="pictures to measure on")
    levels: int = Field(10, ge=1, description="noise levels each picture is seen at, spread over the whole schedule")
    resolution: int | None = Field(None, ge=8, description="side of the pictures in pixels; the base's own without it")
    min_side: int | None = Field(None, ge=1, description=MIN_SIDE_HELP)
    background: str = Field("#ffffff", description=BACKGROUND_HELP)
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="of the choice of pictures and of the noise")
    device: str = Field("auto", description=DEVICE_HELP)
    dtype: Literal["fp32", "fp16", "bf16"] = Field("fp32", description="of the file's weights; measured in fp32 always")
    overwrite: bool = Field(False, description="replace an output file that exists")
    title: str = Field("", description="a name for people")
    prediction_type: Literal["epsilon", "v_prediction"] | None = Field(None, description="if the base does not say it")
    zero_terminal_snr: bool | None = Field(None, description="whether the base was trained with zero terminal SNR")
    vae: str | None = Field(None, description="a VAE's file or folder, in place of the base's own")
    variant: str | None = Field(
        None, description="which weights, if the base has several: of a folder fp16, non_ema ...; of a file ema"
    )

    @field_validator("background")
    @classmethod
    def _known_colour(cls, value: str) -> str:
        return as_hex(value)
