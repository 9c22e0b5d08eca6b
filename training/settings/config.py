"""Every setting of a training run, in sections. Flags have the same names, without the section."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from ..data.config import DataConfig
from ..optimizers import OptimizerConfig

READS_TEXT = {
    "null-text": False,
    "null-text-lora": False,
    "text": True,
}  # kinds of concept, and whether each reads text
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(READS_TEXT)]
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A group of settings: frozen; unknown keys and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Section):
    """The model to train, and its base."""

    kind: Kind = Field(
        default="null-text", description="null-text (reads no text), the same as a LoRA, or text (with captions)"
    )
    start: str | None = Field(
        default=None,
        description="a null-text file from `prepare`, or another run's result to continue from with other "
        "settings; by default the constants are measured before training",
    )
    calibration_images: PositiveInt = Field(default=64, description="images the null-text constants are measured on")
    train_constant: bool = Field(
        default=False, description="train the null-text constants too (the paper freezes them)"
    )
    train_text: bool = Field(
        default=False, description="kind text: train the text encoder too (small worlds of your own)"
    )
    lora_rank: PositiveInt = Field(default=16, description="rank of the LoRA")
    lora_alpha: PositiveFloat | None = Field(default=None, description="alpha of the LoRA; default: the rank")
    lora_targets: tuple[str, ...] = Field(
        default=LORA_TARGETS, description="endings of the names of the adapted layers"
    )
    prediction_type: Literal["epsilon", "v_prediction"] | None = Field(
        default=None, description="what the base predicts, if its files do not say"
    )
    zero_terminal_snr: bool | None = Field(default=None, description="noise schedule with zero terminal SNR")
    tokenizer: str | None = Field(default=None, description="tokenizer folder, if the base has none")
    vae: str | None = Field(
        default=None, description="file or folder of a VAE to use instead of the base's own; a new world's VAE"
    )
    variant: str | None = Field(
        default=None,
        description="weights to read if the base has several: fp16, non_ema ... of a folder; ema of a file",
    )

    @property
    def reads_text(self) -> bool:
        """True if the trained model reads text."""
        return READS_TEXT[self.kind]


class LossConfig(Section):
    """The loss: the mean squared error of the prediction."""

    min_snr_gamma: PositiveFloat | None = Field(
        default=None, description="min-SNR loss weights (arXiv 2303.09556); 5 is usual"
    )
    noise_offset: Annotated[float, Field(ge=0.0)] = Field(
        default=0.0, description="scale of a random offset that is added to the noise of each channel"
    )


class EmaConfig(Section):
    """Moving averages of the weights; a run exports an average."""

    ema: Literal["power", "constant", "none"] = Field(
        default="power", description="power: power function (EDM2); constant: constant decay; none: no average"
    )
    sigma_rels: tuple[float, ...] = Field(
        default=(0.05, 0.1), min_length=1, description="power: relative widths of the averages to keep"
    )
    ema_decay: Fraction = Field(default=0.9999, description="constant: the decay")
    ema_warmup: PositiveInt = Field(
        default=10, description="constant: the decay is at most (1 + step) / (warmup + step)"
    )


class LoopConfig(Section):
    """Steps, batch, precision and device."""

    steps: PositiveInt = Field(default=10_000, description="optimization steps")
    batch_size: PositiveInt = Field(default=4, description="images in a forward pass on each device")
    accumulation: PositiveInt = Field(default=1, description="forward passes per step")
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    gradient_checkpointing: bool = Field(default=False, description="less memory, a third more time")
    compile: bool = Field(default=False, description="torch.compile the UNet")
    channels_last: bool = Field(default=False, description="memory layout that speeds up convolutions on GPUs")
    seed: int = 0
    held_out: Count = Field(default=0, description="images kept out of training, for validation")
    device: Literal["auto", "cpu"] = Field(default="auto", description="auto: the device that accelerate chooses")


class RecordConfig(Section):
    """Checkpoints, samples, logs and the result's description. No setting here changes the trained weights."""

    save_every: PositiveInt = Field(default=1000, description="steps between checkpoints")
    keep_last: PositiveInt = Field(
        default=2, description="newest checkpoints to keep, besides the checkpoint that validated best"
    )
    sample_every: Count = Field(default=0, description="steps between sample grids; 0: none")
    validate_every: Count = Field(default=0, description="steps between validations (loss on held_out images); 0: none")
    log_every: PositiveInt = Field(default=10, description="steps between log lines")
    prompt: str | None = Field(default=None, description="prompt of the base in sample grids; default: no prompt")
    title: str = Field(default="", description="name of the concept, for people; default: the output folder's name")
    description: str = Field(default="", description="description of the concept, for its file and model card")
    author: str = Field(default="", description="author, for the file and the model card")
    license: str = Field(
        default="", description="licence, for the file and the model card; default: a blank to fill in"
    )
    export_dtype: Literal["fp16", "bf16", "fp32"] = Field(
        default="fp16", description="precision of the concept file's weights"
    )


class RunConfig(Section):
    """All settings of a run."""

    base: str = Field(description="the base model: a diffusers folder, a single .safetensors file or a world")
    output: str = Field(description="folder of the run; an interrupted run in it is continued")
    data: DataConfig
    model: ModelConfig = Field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    ema: EmaConfig = Field(default_factory=EmaConfig)
    loop: LoopConfig = Field(default_factory=LoopConfig)
    record: RecordConfig = Field(default_factory=RecordConfig)
