"""Say what a file is when it is no base: each of the usual mistakes by name."""

from collections.abc import Iterable, Mapping

from gcfg_core.concept_metadata import FORMAT_KEY
from gcfg_core.input_error import InputError
from gcfg_core.null_text import FEATURE

UNET = "model.diffusion_model."
BASE = "a checkpoint of SD1.5, SD2 or SDXL with UNet, VAE and text encoder"
WHOLE = "Give the whole checkpoint, or a diffusers folder."


def refuse_other_kinds(name: str, tensors: Iterable[str], metadata: Mapping[str, str]) -> None:
    """Raise InputError unless a file's tensor names are a Stable Diffusion checkpoint's."""
    names = list(tensors)
    if FORMAT_KEY in metadata or any(key.endswith(FEATURE) for key in names):
        raise InputError(name, BASE, "a concept checkpoint", "Give the base model it came from.")
    if "edm_mean" in names:
        raise InputError(name, BASE, "an EDM model (edm_mean)", "Bases of that kind are not supported.")
    if f"{UNET}input_blocks.0.0.weight" not in names:
        raise InputError(name, BASE, _kind(names), WHOLE)


def _kind(names: list[str]) -> str:
    """What a file without ldm's UNet is, for a message."""
    for sign, kind in (
        ("lora", "a LoRA"),
        ("control_model.", "a ControlNet"),
        (UNET, "another kind of diffusion model"),
        ("first_stage_model.", "a VAE"),
        ("encoder.down", "a VAE"),
        ("decoder.up", "a VAE"),
        ("down_blocks.0.resnets.", "a UNet alone"),
        ("input_blocks.0.0.", "a UNet alone"),
        ("text_model.", "a text encoder"),
        ("transformer.resblocks.", "a text encoder"),
    ):
        if any(sign in key for key in names):
            return kind
    return f"{names[0]} ..." if names else "no tensors"
