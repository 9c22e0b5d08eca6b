"""ComfyUI's model for each family of networks: the class of its configuration, and the model built from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import comfy.model_base
import comfy.supported_models
import torch

from ...gcfg_core.concept.concept import Concept
from ...gcfg_core.concept.families import of_each_family
from ...gcfg_core.concept.unet_layout import UNetLayout


class FamilyModel(ABC):
    """A family in ComfyUI; a subclass that leaves a question open cannot be instantiated."""

    @property
    @abstractmethod
    def supported(self) -> type:
        """The class in comfy.supported_models."""

    @abstractmethod
    def empty(self, concept: Concept, layout: UNetLayout, config: Any, model_type: Any) -> Any:
        """Build the model from an instance of `supported` without storage (meta device), with its text layers."""


class PlainModel(FamilyModel):
    """SD1.5 and SD2: the text is the only condition."""

    def __init__(self, supported: type) -> None:
        self._supported = supported

    @property
    def supported(self) -> type:
        return self._supported

    def empty(self, concept: Concept, layout: UNetLayout, config: Any, model_type: Any) -> Any:
        return comfy.model_base.BaseModel(config, model_type, device=torch.device("meta"))


class SDXLModel(FamilyModel):
    """SDXL; its added embedding is a constant if the concept reads no text."""

    @property
    def supported(self) -> type:
        return comfy.supported_models.SDXL

    def empty(self, concept: Concept, layout: UNetLayout, config: Any, model_type: Any) -> Any:
        kind = NullTextSDXL if concept.null_text else comfy.model_base.SDXL
        model: Any = kind(config, model_type, device=torch.device("meta"))
        model.embedder = comfy.model_base.Timestep(layout.time_id_dim)
        if isinstance(model, NullTextSDXL):
            assert concept.text_embeds is not None and concept.time_ids is not None
            model.constant_adm = constant_embedding(concept.text_embeds, concept.time_ids, layout.time_id_dim)
        return model


class NullTextSDXL(comfy.model_base.SDXL):
    """SDXL with a fixed added embedding (pooled text and size ids): that of its training, whatever the inputs are."""

    constant_adm: torch.Tensor  # [1, adm_in_channels]

    def encode_adm(self, **kwargs: Any) -> torch.Tensor:
        return self.constant_adm


def constant_embedding(text_embeds: torch.Tensor, time_ids: torch.Tensor, time_id_dim: int) -> torch.Tensor:
    """Return SDXL's added embedding [1, adm_in_channels] of a pooled text vector [1, D] and size ids [1, 6]."""
    sizes = comfy.model_base.Timestep(time_id_dim)(time_ids.flatten()).flatten()
    return torch.cat([text_embeds, sizes[None]], dim=1)


FAMILY_MODELS: dict[str, FamilyModel] = of_each_family({
    "sd15": PlainModel(comfy.supported_models.SD15),
    "sd2": PlainModel(comfy.supported_models.SD20),
    "sdxl": SDXLModel(),
})  # fmt: skip
