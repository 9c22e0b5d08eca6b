"""From a concept file to a model that can be sampled with diffusers."""

from pathlib import Path
from typing import Any

import torch

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.families import network_of
from gcfg_core.concept.forms import form_in

from ..base.assemble import empty_network
from ..base.model import Base, Condition
from ..base.noise_schedule import NoiseSchedule, noise_schedule
from .denoiser import Denoiser
from .fit import check_family


def concept_unet(concept: Concept) -> Any:
    """diffusers' UNet2DConditionModel of a concept, float32 on the CPU, in eval mode; null-text where it is."""
    unet = empty_network(concept.config)
    if concept.null_text:
        network_of(concept.config).remove_text(unet)
    tensors = {key: value.float() for key, value in concept.tensors.items()}
    unet.load_state_dict(tensors, strict=True, assign=True)
    return unet.requires_grad_(False).eval()


def constant_condition(concept: Concept) -> Condition | None:
    """The SDXL constants that a null-text model is always given; None for every other model."""
    if not concept.null_text or concept.text_embeds is None:
        return None
    width = int(concept.config["cross_attention_dim"])
    return Condition(torch.zeros(1, 1, width), concept.text_embeds.float(), concept.time_ids)


def concept_schedule(concept: Concept, base: Base | None = None) -> NoiseSchedule:
    """The noise levels of a concept: its base's where those fit what the file says, else Stable Diffusion's."""
    if base is not None and base.schedule.zero_terminal_snr == concept.zero_terminal_snr:
        return NoiseSchedule(base.schedule.alphas_cumprod, concept.prediction_type)
    return noise_schedule(None, concept.prediction_type, concept.zero_terminal_snr)


def concept_denoiser(concept: Concept, base: Base | None = None) -> Denoiser:
    """A concept as a model of a guidance graph."""
    return Denoiser(concept_unet(concept), concept_schedule(concept, base), constant_condition(concept))


def load_concept(path: Path, base: Base) -> Concept:
    """A concept file of any kind; a LoRA concept is merged into the base.

    Raises:
        InputError: it is of another family than the base.
        ConceptFileError: it cannot be read.
    """
    form = form_in(path)
    concept = form.read(path)
    check_family(concept, base, path.name)
    return form.on(concept, base.unet.state_dict())
