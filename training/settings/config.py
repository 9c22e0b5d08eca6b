"""Every setting of a training run, in sections; the command line's flags are the same names without the section."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from ..data.config import DataConfig
from ..optimizers import OptimizerConfig

READS_TEXT = {"null-text": False, "null-text-lora": False, "text": True}  # kinds of concept that can be trained
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(READS_TEXT)]
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A group of settings: frozen; a key it does not know is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """What is trained."""

    kind: Kind = Field(
        default="null-text", description="null-text (reads no text), the same as a LoRA, or text (with captions)"
    )
    start: str | None = Field(
        default=None,
        description="a null-text file from `prepare`, or another run's result, to train on from it with other "
        "settings; without it, the constants are measured before training",
    )
    calibration_images: PositiveInt = Field(default=64, description="images the null-text constants are measured on")
    train_constant: bool = Field(
        default=False, description="train the null-text constants too (the paper freezes them)"
    )
    train_text: bool = Field(
        default=False, description="kind text: train the text encoder too (small worlds of your own)"
    )
    lora_rank: PositiveInt = Field(default=16, description="rank of the LoRA")
    lora_alpha: PositiveFloat | None = Field(default=None, description="alpha of the LoRA; the rank without it")
    lora_targets: tuple[str, ...] = Field(default=LORA_TARGETS, description="ends of the names of the layers it adapts")
    prediction_type: Literal["epsilon", "v_prediction"] | None = Field(
        default=None, description="if the base does not say it"
    )
    zero_terminal_snr: bool | None = Field(default=None, description="noise schedule with zero terminal SNR")
    tokenizer: str | None = Field(default=None, description="folder of the tokenizer, if the base has none")
    vae: str | None = Field(default=None, description="a VAE's file or folder, in place of the base's own")
    variant: str | None = Field(
        default=None, description="which weights, if the base has several: of a folder fp16, non_ema ...; of a file ema"
    )

    @property
    def reads_text(self) -> bool:
        """Whether the model that is trained reads text."""
        return READS_TEXT[self.kind]


class LossConfig(Section):
    """What is minimised: the mean squared error of the prediction."""

    min_snr_gamma: PositiveFloat | None = Field(
        default=None, description="min-SNR weights (arXiv 2303.09556), 5 is usual"
    )
    noise_offset: Annotated[float, Field(ge=0.0)] = Field(
        default=0.0, description="adds one random number to a channel's noise"
    )


class EmaConfig(Section):
    """Averages of the weights, which are what a run is for."""

    ema: Literal["power", "constant", "none"] = Field(
        default="power", description="power function (EDM2), constant decay, none"
    )
    sigma_rels: tuple[float, ...] = Field(
        default=(0.05, 0.1), min_length=1, description="power: relative widths that are kept"
    )
    ema_decay: Fraction = Field(default=0.9999, description="constant: the decay")
    ema_warmup: PositiveInt = Field(default=10, description="constant: decay is at most (1 + step) / (warmup + step)")


class LoopConfig(Section):
    """How much, how fast, on what."""

    steps: PositiveInt = Field(default=10_000, description="optimization steps")
    batch_size: PositiveInt = Field(default=4, description="images of one forward pass on each device")
    accumulation: PositiveInt = Field(default=1, description="forward passes of one step")
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    gradient_checkpointing: bool = Field(default=False, description="less memory, a third more time")
    compile: bool = Field(default=False, description="torch.compile the UNet")
    channels_last: bool = Field(default=False, description="memory layout that convolutions like on GPUs")
    seed: int = 0
    held_out: Count = Field(default=0, description="images kept out of training, for validation")
    device: Literal["auto", "cpu"] = Field(default="auto", description="auto: what accelerate finds")


class RecordConfig(Section):
    """What is written down, and when. No setting here changes a result."""

    save_every: PositiveInt = Field(default=1000, description="steps from checkpoint to checkpoint")
    keep_last: PositiveInt = Field(
        default=2, description="newest checkpoints to keep, beside the one that validated best"
    )
    sample_every: Count = Field(default=0, description="steps from sample grid to sample grid; 0: none")
    validate_every: Count = Field(default=0, description="steps from one loss on held_out images to the next; 0: none")
    log_every: PositiveInt = Field(default=10, description="steps from log to log")
    prompt: str | None = Field(default=None, description="sample grids: what the base is told; without it, nothing")
    title: str = Field(default="", description="name of the concept, for people; the output folder's without it")
    description: str = Field(default="", description="of the concept, for its file and model card")
    author: str = Field(default="", description="for the file and the model card")
    license: str = Field(default="", description="for the file and the model card; a blank to fill in without it")
    export_dtype: Literal["fp16", "bf16", "fp32"] = Field(
        default="fp16", description="precision of the concept file's weights"
    )


class RunConfig(Section):
    """A whole run."""

    base: str = Field(description="the base model: a diffusers folder, a single .safetensors file or a world")
    output: str = Field(description="folder of the run; an interrupted run there is continued")
    data: DataConfig
    model: ModelConfig = Field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    ema: EmaConfig = Field(default_factory=EmaConfig)
    loop: LoopConfig = Field(default_factory=LoopConfig)
    record: RecordConfig = Field(default_factory=RecordConfig)
