"""All workflows, in the best order to read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .cast import STARTER, Cast
from .concepts import concept_and_control, image_to_image, inpainting, two_concepts, weight_curves
from .custom_sampling import two_stages
from .families import flow_model, sdxl, video_model
from .for_less import for_less
from .graph import Workflow
from .other_models import autoguidance, controlnet_on_control, domain_guidance, lora_on_one_branch
from .prompts_only import negative_term, plain_cfg, regional_masks, windowed_control
from .reports import report
from .sweeps import sweep

STARTER_WORKFLOWS: tuple[Callable[[Cast], Workflow], ...] = (
    concept_and_control,
    plain_cfg,
    two_concepts,
    negative_term,
    windowed_control,
    weight_curves,
    regional_masks,
    domain_guidance,
    image_to_image,
    inpainting,
    two_stages,
)
"""Workflows that run on the models of this pack as well."""

WORKFLOWS: tuple[Callable[[], Workflow], ...] = (
    *(partial(define, STARTER) for define in STARTER_WORKFLOWS),
    partial(for_less, STARTER),
    partial(sweep, STARTER),
    partial(report, STARTER),
    plain_cfg,
    concept_and_control,
    two_concepts,
    negative_term,
    windowed_control,
    weight_curves,
    regional_masks,
    autoguidance,
    domain_guidance,
    lora_on_one_branch,
    controlnet_on_control,
    image_to_image,
    inpainting,
    sdxl,
    flow_model,
    video_model,
    two_stages,
)
"""Each builds one workflow; its name is the file's."""
