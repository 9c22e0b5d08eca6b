"""A concept as a real ComfyUI model: BaseModel and ModelPatcher, built from the file's own description.

The network is laid out on the meta device, its text layers are removed there, and only then do the file's tensors
become its parameters: no cross-attention weight ever exists.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.utils
import torch

from ...gcfg_core.concept.concept import Concept
from ...gcfg_core.concept.families import family_of, layout_of, network_of
from ...gcfg_core.concept.metadata import DESCRIPTION, describe, pack_description
from ...gcfg_core.concept.null_text import FEATURE, NullTextAttention
from ...gcfg_core.concept.unet_layout import UNetLayout
from ...gcfg_core.errors import ConceptFileError
from ..comfyui.versions import patcher_class, remember_dtypes
from .family_models import FAMILY_MODELS
from .pixel_latents import PIXEL_BLOCKS
from .tiny_latents import TINY_LATENTS
from .unet_config import host_names, host_unet_config

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def build_concept_model(
    concept: Concept, dtype: torch.dtype | None = None, fp8_matmul: bool = False, dynamic: bool = True
) -> ModelPatcher:
    """Build a MODEL from a concept.

    Args:
        concept: checked, as `read_concept` returns it.
        dtype: of the weights; None lets ComfyUI choose, as its own loader does.
        fp8_matmul: multiply in fp8 if the device can.
        dynamic: newer ComfyUI versions may stream the weights; False asks for the plain patcher.
    """
    layout = layout_of(concept.config)
    config = _model_config(concept, layout, dtype, fp8_matmul)
    model = _empty_model(concept, layout, config)
    offload_device = comfy.model_management.unet_offload_device()
    _fill(model, concept, config, offload_device)
    return patcher_class(dynamic)(
        model, load_device=comfy.model_management.get_torch_device(), offload_device=offload_device
    )


class PatchableNullText(NullTextAttention):
    """The null-text layer inside ComfyUI's transformer block."""

    def forward(
        self, hidden_states: torch.Tensor, *args: object, transformer_options: dict | None = None, **kwargs: object
    ) -> torch.Tensor:
        """Return the constant as in NullTextAttention, as a new tensor if output patches may write into it."""
        constant = super().forward(hidden_states)
        patched = "attn2_output_patch" in (transformer_options or {}).get("patches", {})
        return constant.clone() if patched else constant


class _SavesAsConcept:
    """For Save Model and Save Checkpoint: keep diffusers' tensor names and store the description in the file.

    Load Concept Model can then read the saved file.
    """

    def process_unet_state_dict_for_saving(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        theirs = {ours: name for name, ours in host_names(self.unet_config).items()}  # type: ignore[attr-defined]
        return {theirs[ours]: value for ours, value in state_dict.items()} | self.saved_extras  # type: ignore[attr-defined]


def _model_config(concept: Concept, layout: UNetLayout, dtype: torch.dtype | None, fp8_matmul: bool) -> Any:
    """Return ComfyUI's configuration object: the family's own class, with this network and this file's description."""
    family = FAMILY_MODELS[family_of(concept.config).name].supported
    is_ours = concept.null_text or concept.architecture == "custom"  # no other loader would know its network
    bases = (_SavesAsConcept, family) if is_ours else (family,)
    unet_config = host_unet_config(layout)
    config: Any = type(f"Concept{family.__name__}", bases, {})(unet_config)
    config.unet_config |= {key: unet_config[key] for key in ("num_heads", "num_head_channels")}
    config.latent_format = _latent_format(concept)
    config.saved_extras = _saved_extras(concept)
    if concept.zero_terminal_snr:
        config.sampling_settings["zsnr"] = True
    management = comfy.model_management
    supported = list(config.supported_inference_dtypes)
    if dtype is None:
        parameters = comfy.utils.calculate_parameters(concept.tensors)
        stored = comfy.utils.weight_dtype(concept.tensors)
        dtype = management.unet_dtype(model_params=parameters, supported_dtypes=supported, weight_dtype=stored)
    cast = management.unet_manual_cast(dtype, management.get_torch_device(), supported)
    config.set_inference_dtype(dtype, cast)
    config.optimizations["fp8"] = fp8_matmul
    return config


def _saved_extras(concept: Concept) -> dict[str, torch.Tensor]:
    return {**concept.constants, DESCRIPTION: pack_description(describe(concept, "concept"))}


def _latent_format(concept: Concept) -> Any:
    name = concept.latents
    if name in TINY_LATENTS:
        return TINY_LATENTS[name](concept.vae)
    latent_class = PIXEL_BLOCKS.get(name) or getattr(comfy.latent_formats, name, None)
    abstract = comfy.latent_formats.LatentFormat
    if not (isinstance(latent_class, type) and issubclass(latent_class, abstract) and latent_class is not abstract):
        raise ConceptFileError(
            "gcfg.latent_format", "a latent format of this ComfyUI, such as SD15 or SDXL", repr(name), "Update ComfyUI."
        )
    return latent_class()


def _empty_model(concept: Concept, layout: UNetLayout, config: Any) -> Any:
    """Build the model with all layers of the file and no storage behind them (meta device)."""
    kind = {"epsilon": "EPS", "v_prediction": "V_PREDICTION"}[concept.prediction_type]
    model_type = comfy.model_base.ModelType[kind]
    model = FAMILY_MODELS[family_of(concept.config).name].empty(concept, layout, config, model_type)
    latent_channels = config.latent_format.latent_channels
    if layout.in_channels == 2 * latent_channels + 1:
        model.set_inpaint()
    elif layout.in_channels != latent_channels:
        raise ConceptFileError(
            "unet_config.in_channels", f"the {latent_channels} channels of latent format {concept.latents}",
            str(layout.in_channels), "Correct gcfg.latent_format in the file's metadata.",
        )  # fmt: skip
    if concept.null_text:
        network_of(concept.config).remove_text(model.diffusion_model, layer=PatchableNullText)
    return model


def _fill(model: Any, concept: Concept, config: Any, device: torch.device) -> None:
    """Make the file's tensors the parameters, in the weight dtype.

    The constants are tiny and are added to the activations directly: they stay in the dtype of the computation.
    """
    dtype = config.unet_config["dtype"]
    names = host_names(config.unet_config)
    compute = config.manual_cast_dtype or dtype
    weights = {
        names[name]: tensor.to(device=device, dtype=compute if name.endswith(FEATURE) else dtype, copy=True)
        for name, tensor in concept.tensors.items()
    }
    network = model.diffusion_model
    network.load_state_dict(weights, strict=True, assign=True)
    network.eval()
    model.device = device
    if comfy.model_management.force_channels_last():
        network.to(memory_format=torch.channels_last)
    remember_dtypes(network)
    logging.info(
        "GCFG: %s, %s, %s", concept.kind, concept.architecture, "text-free" if concept.null_text else "with text"
    )
