"""The concept model in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .families import architecture_of, family_of, layout_of
from .kinds import KINDS, NULL_TEXT_UNET
from .unet_layout import TIME_IDS
from .unet_tensors import Shapes

TEXT_EMBEDS, TIME_IDS_NAME = "gcfg.text_embeds", "gcfg.time_ids"


def constant_shapes(config: Mapping[str, Any]) -> Shapes:
    """Return the shapes of SDXL's constants under their names in a file; empty for other networks."""
    pooled = layout_of(config).pooled_dim
    return {} if pooled is None else {TEXT_EMBEDS: (1, pooled), TIME_IDS_NAME: (1, TIME_IDS)}


@dataclass(frozen=True, eq=False)
class Concept:
    """A concept model in memory.

    Attributes:
        tensors: the UNet in diffusers' names.
        config: diffusers' UNet2DConditionModel configuration.
        kind: "null-text-unet", or "unet" for a UNet that reads text.
        prediction_type: "epsilon" or "v_prediction".
        zero_terminal_snr: the noise schedule was rescaled to zero terminal SNR (arXiv 2305.08891).
        latent_format: name of the class in comfy.latent_formats; empty for the architecture's own.
        base: name and hash of the model that it was trained from.
        training: how it was trained, anything JSON can hold.
        title: a name for people.
        text_embeds: SDXL: the pooled text vector it was trained with, [1, D]. None elsewhere.
        time_ids: SDXL: the size ids it was trained with, [1, 6]: original height, width, crop top, left, target
            height, width. None elsewhere.
        vae: digest of the small world's VAE whose latents it predicts; empty elsewhere.
        assumptions: facts that the file did not contain and that were inferred, one sentence each.
    """

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    kind: str = NULL_TEXT_UNET.name
    prediction_type: str = "epsilon"
    zero_terminal_snr: bool = False
    latent_format: str = ""
    base: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    text_embeds: Tensor | None = None
    time_ids: Tensor | None = None
    vae: str = ""
    assumptions: tuple[str, ...] = ()

    @property
    def null_text(self) -> bool:
        """True if the model ignores text."""
        return KINDS[self.kind].null_text

    @property
    def constants(self) -> dict[str, Tensor]:
        """Return SDXL's pooled text vector and size ids under their names in the file; empty for other models."""
        constants = {TEXT_EMBEDS: self.text_embeds, TIME_IDS_NAME: self.time_ids}
        return {key: value for key, value in constants.items() if value is not None}

    @property
    def architecture(self) -> str:
        """The public architecture: "sd15", "sd2", "sdxl" or "custom"."""
        return architecture_of(self.config)

    @property
    def latents(self) -> str:
        """Name of the latent format: the file's, or else the architecture's own."""
        return self.latent_format or family_of(self.config).latent_format
