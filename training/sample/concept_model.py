"""Build a model for sampling with diffusers from a concept."""

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
    """Return a concept's UNet2DConditionModel (diffusers), float32 on the CPU, in eval mode; null-text if the concept
    is."""
    unet = empty_network(concept.config)
    if concept.null_text:
        network_of(concept.config).remove_text(unet)
    tensors = {key: value.float() for key, value in concept.tensors.items()}
    unet.load_state_dict(tensors, strict=True, assign=True)
    return unet.requires_grad_(False).eval()


def constant_condition(concept: Concept) -> Condition | None:
    """Return the SDXL constants that a null-text model always gets; None for other models."""
    if not concept.null_text or concept.text_embeds is None:
        return None
    width = int(concept.config["cross_attention_dim"])
    return Condition(torch.zeros(1, 1, width), concept.text_embeds.float(), concept.time_ids)


def concept_schedule(concept: Concept, base: Base | None = None) -> NoiseSchedule:
    """Return a concept's noise schedule: its base's if that agrees with the file, else Stable Diffusion's."""
    if base is not None and base.schedule.zero_terminal_snr == concept.zero_terminal_snr:
        return NoiseSchedule(base.schedule.alphas_cumprod, concept.prediction_type)
    return noise_schedule(None, concept.prediction_type, concept.zero_terminal_snr)


def concept_denoiser(concept: Concept, base: Base | None = None) -> Denoiser:
    """Return a concept as a model for guidance graphs."""
    return Denoiser(concept_unet(concept), concept_schedule(concept, base), constant_condition(concept))


def load_concept(path: Path, base: Base) -> Concept:
    """Read a concept file of any kind; a LoRA concept is merged into the base.

    Raises:
        InputError: the concept is of another family than the base.
        ConceptFileError: the file cannot be read.
    """
    form = form_in(path)
    concept = form.read(path)
    check_family(concept, base, path.name)
    return form.on(concept, base.unet.state_dict())
