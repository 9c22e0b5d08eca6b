"""A LoRA concept on a base MODEL: a clone with the factors as patches and with constants for the cross-attentions.

No weight is copied: the clone shares the base's module, as with any LoRA loader. The forwards of the cross-attentions
are patched, not the layers, so that the module keeps its parameters and other nodes find them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.lora
import comfy.model_base
import comfy.model_sampling
import torch

from ...gcfg_core.concept.families import layout_of, shapes_of
from ...gcfg_core.concept.lora import DOWN, UP, LoraConcept
from ...gcfg_core.concept.null_text import FEATURE, NullTextPatchError
from ...gcfg_core.errors import ConceptFileError, some
from .concept_model import PatchableNullText
from .family_models import constant_embedding
from .unet_config import host_names, host_unet_config

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

NETWORK = "diffusion_model."


def apply_lora_concept(base: ModelPatcher, lora: LoraConcept, name: str) -> ModelPatcher:
    """Return the null-text MODEL that the LoRA makes of its base model.

    Args:
        base: the MODEL it was trained from; other LoRAs on it stay.
        lora: checked, as `read_lora_concept` returns it.
        name: of its file, for messages.

    Raises:
        ConceptFileError: the base has another network, another prediction type or another VAE's latents.
    """
    layout = layout_of(lora.config)
    names = host_names(host_unet_config(layout))
    _check_base(base, lora, names, name)
    clone = base.clone()
    factors: dict[str, torch.Tensor] = dict(lora.factors)
    factors |= {f"{layer}.alpha": torch.tensor(lora.alpha) for layer in lora.layers}
    keys = {layer: f"{NETWORK}{names[f'{layer}.weight']}" for layer in lora.layers}
    patched = clone.add_patches(comfy.lora.load_lora(factors, keys), 1.0)
    assert len(patched) == len(keys), f"patched {len(patched)} of {len(keys)} layers of {DOWN} and {UP}"
    for theirs, constant in lora.features.items():
        attention = NETWORK + names[theirs].removesuffix(f".{FEATURE}")
        clone.add_object_patch(f"{attention}.forward", NullTextForward(constant))
        clone.add_object_patch(f"{attention}.to_q.forward", refuse_projection)
        clone.add_object_patch(f"{attention.removesuffix('attn2')}norm2.forward", unchanged)
    if lora.text_embeds is not None and lora.time_ids is not None:
        embedding = constant_embedding(lora.text_embeds, lora.time_ids, layout.time_id_dim)
        clone.add_object_patch("encode_adm", lambda **_: embedding)
    return clone


class NullTextForward:
    """The forward of a cross-attention that no longer reads text: its constant, on the device of the input."""

    def __init__(self, constant: torch.Tensor) -> None:
        self.layer = PatchableNullText(constant.shape[-1], constant, dtype=torch.float32).requires_grad_(False)

    def __call__(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.layer.null_text_feature.device != hidden_states.device:
            self.layer.to(hidden_states.device)
        return self.layer(hidden_states, *args, **kwargs)


def unchanged(hidden_states: torch.Tensor) -> torch.Tensor:
    """Return the input: the forward of the norm before a cross-attention that no longer reads it."""
    return hidden_states


def refuse_projection(*_: Any, **__: Any) -> torch.Tensor:
    """Raise an error when a patch calls a projection of a removed cross-attention.

    Raises:
        NullTextPatchError: always; names the projection and the remedy.
    """
    raise NullTextPatchError.of("to_q")


def _check_base(base: ModelPatcher, lora: LoraConcept, names: dict[str, str], name: str) -> None:
    expected = f"the model it was trained from ({lora.base or 'not named in the file'})"
    remedy = "Connect that model to base_model, straight from its loader."
    weights = dict(base.model.diffusion_model.named_parameters())  # shapes of weights, not of their 4-bit storage
    shapes = shapes_of(lora.config, null_text=True).items()
    odd = [
        theirs for theirs, shape in shapes
        if not theirs.endswith(FEATURE) and tuple(getattr(weights.get(names[theirs]), "shape", ())) != shape
    ]  # fmt: skip
    if odd:
        raise ConceptFileError(f"base_model for {name}", expected, f"another network ({some(odd)})", remedy)
    sampling: Any = base.get_model_object("model_sampling")
    is_v = isinstance(sampling, comfy.model_sampling.V_PREDICTION)
    if is_v != (lora.prediction_type == "v_prediction"):
        got = "a model of v-prediction" if is_v else "a model without v-prediction"
        raise ConceptFileError(f"base_model for {name}", f"a model of {lora.prediction_type}", got, remedy)
    vae = getattr(base.get_model_object("latent_format"), "vae", "")
    if lora.vae and vae and vae != lora.vae:
        raise ConceptFileError(f"base_model for {name}", expected, "a world with another VAE", remedy)
