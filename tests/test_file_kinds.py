"""Kinds of files and marks against ComfyUI's own models and its own detection (cases T1, T18)."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import comfy.model_detection
import comfy.ops
import comfy.supported_models
import pytest
import torch

from gcfg_core.concept.file_kinds import kind_of
from gcfg_core.concept.prediction_markers import edm_kind, marked_prediction

PREFIX = "model.diffusion_model."
PLACED = {"device": "meta", "dtype": torch.float32, "operations": comfy.ops.disable_weight_init}
FLUX = {
    "in_channels": 16, "out_channels": 16, "vec_in_dim": 64, "context_in_dim": 64, "hidden_size": 128, "mlp_ratio": 2.0,
    "num_heads": 1, "depth": 1, "depth_single_blocks": 1, "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [], "in_dim": 64, "out_dim": 128, "hidden_dim": 64,
    "n_layers": 1,
}  # fmt: skip
LUMINA = {
    "patch_size": 2, "in_channels": 16, "dim": 96, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "qk_norm": True,
    "axes_dims": [16, 16, 16], "axes_lens": [4, 4, 4], "cap_feat_dim": 64,
}  # fmt: skip
COSMOS = {
    "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16, "patch_spatial": 2,
    "patch_temporal": 1, "model_channels": 128, "num_blocks": 1, "num_heads": 1, "concat_padding_mask": True,
    "pos_emb_cls": "rope3d", "use_adaln_lora": True, "adaln_lora_dim": 16,
}  # fmt: skip
HIDREAM = {
    "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 1, "num_single_layers": 1,
    "attention_head_dim": 128, "num_attention_heads": 1, "caption_channels": [64, 64], "text_emb_dim": 64,
    "num_routed_experts": 2, "num_activated_experts": 1, "axes_dims_rope": (64, 32, 32), "llama_layers": [0, 1],
}  # fmt: skip
TEXT = {"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 128}}
# Kind, module under comfy.ldm and class, small settings, and how ComfyUI's detection names it.
MODELS: list[tuple[str, str, dict[str, Any], str]] = [
    ("a Flux model", "flux.model.Flux", FLUX, "flux"),
    ("a Chroma model", "chroma.model.Chroma", FLUX, "chroma"),
    ("a Stable Diffusion 3 model", "modules.diffusionmodules.mmdit.OpenAISignatureMMDITWrapper",
     {"in_channels": 16, "depth": 2, "input_size": None, "adm_in_channels": 64, "context_embedder_config": TEXT,
      "num_patches": 64, "pos_embed_max_size": 8}, ""),
    ("a Lumina 2 model", "lumina.model.NextDiT", LUMINA, "lumina2"),
    ("a Z-Image model", "lumina.model.NextDiT", {**LUMINA, "pad_tokens_multiple": 32, "z_image_modulation": True},
     "lumina2"),
    ("a Wan model", "wan.model.WanModel", {"dim": 128, "ffn_dim": 128, "num_heads": 1, "num_layers": 1}, "wan2.1"),
    ("a Qwen-Image model", "qwen_image.model.QwenImageTransformer2DModel",
     {"num_layers": 1, "attention_head_dim": 128, "num_attention_heads": 1}, "qwen_image"),
    ("an AuraFlow model", "aura.mmdit.MMDiT", {"n_layers": 2, "n_double_layers": 1, "dim": 128, "n_heads": 1}, ""),
    ("a HunyuanDiT model", "hydit.models.HunYuanDiT", {"depth": 2, "hidden_size": 128, "num_heads": 2}, "hydit"),
    ("an LTX-Video model", "lightricks.model.LTXVModel", {"num_layers": 1}, "ltxv"),
    ("a PixArt model", "pixart.pixartms.PixArtMS", {"depth": 1, "hidden_size": 128, "num_heads": 2}, "pixart_alpha"),
    ("a Cosmos model", "cosmos.model.GeneralDIT",
     {**COSMOS, "pos_emb_learnable": False, "pos_emb_interpolation": "crop", "block_x_format": "THWBD",
      "affline_emb_norm": True}, "cosmos"),
    ("a Cosmos model", "cosmos.predict2.MiniTrainDIT", {**COSMOS, "crossattn_emb_channels": 64}, "cosmos_predict2"),
    ("a HiDream model", "hidream.model.HiDreamImageTransformer2DModel", HIDREAM, "hidream"),
    ("an ACE-Step model", "ace.model.ACEStepTransformer2DModel",
     {"num_layers": 1, "inner_dim": 128, "attention_head_dim": 64, "num_attention_heads": 2}, ""),
    ("an OmniGen2 model", "omnigen.omnigen2.OmniGen2Transformer2DModel",
     {"hidden_size": 240, "num_layers": 1, "num_refiner_layers": 1, "num_attention_heads": 2, "num_kv_heads": 1},
     "omnigen2"),
    ("a HunyuanVideo model", "hunyuan_video.model.HunyuanVideo",
     {**FLUX, "patch_size": [1, 2, 2], "byt5": False, "meanflow": False, "use_cond_type_embedding": False,
      "vision_in_dim": None, "meanflow_sum": False}, "hunyuan_video"),
    ("a Stable Audio model", "audio.dit.AudioDiffusionTransformer",
     {"io_channels": 64, "embed_dim": 128, "depth": 1, "num_heads": 2, "cond_token_dim": 64, "global_cond_dim": 64},
     ""),
    ("a Hunyuan3D model", "hunyuan3d.model.Hunyuan3Dv2",
     {"depth": 1, "depth_single_blocks": 1, "hidden_size": 128, "num_heads": 2, "context_in_dim": 64}, "hunyuan3d2"),
    ("a Stable Cascade model", "cascade.stage_c.StageC", {}, ""),
    ("a Stable Cascade model", "cascade.stage_b.StageB", {}, ""),
]  # fmt: skip


def known(kind: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that this ComfyUI's class has: Flux and its relatives keep theirs in a dataclass that grows."""
    module = inspect.getmodule(kind)
    if "kwargs" not in inspect.signature(kind).parameters or settings.get("theta") is None:
        return settings
    fields = next(value for name, value in vars(module).items() if name == f"{kind.__name__}Params")
    names = {field.name for field in dataclasses.fields(fields)}
    return {key: value for key, value in settings.items() if key in names}


@pytest.mark.parametrize(("kind", "path", "settings", "theirs"), MODELS, ids=[path for _, path, *_ in MODELS])
def test_the_hosts_own_models_are_named(kind: str, path: str, settings: dict[str, Any], theirs: str) -> None:
    """T18: the names in a state dict of ComfyUI's class, by which ComfyUI's detection knows it too."""
    place, name = path.rsplit(".", 1)
    model = getattr(importlib.import_module(f"comfy.ldm.{place}"), name)
    if kind == "a Z-Image model" and "pad_tokens_multiple" not in inspect.signature(model).parameters:
        pytest.skip("this ComfyUI does not know Z-Image yet")
    tensors = {PREFIX + key: value for key, value in model(**known(model, settings), **PLACED).state_dict().items()}
    found = kind_of(tensors)
    assert found is not None and found.name == kind
    assert kind_of([key.removeprefix(PREFIX) for key in tensors]) == found
    if theirs:
        detected = comfy.model_detection.detect_unet_config(dict(tensors), PREFIX)
        assert detected["image_model"] == theirs


@pytest.mark.parametrize(
    "marks",
    [
        (), ("v_pred",), ("v_pred", "ztsnr"), ("edm_vpred.sigma_max",), ("edm_vpred.sigma_max", "edm_vpred.sigma_min"),
        ("edm_mean", "edm_std"), ("edm_vpred.sigma_max", "v_pred"), ("edm_mean", "edm_std", "v_pred"),
    ],
)  # fmt: skip
def test_marks_mean_what_they_mean_to_the_host(marks: tuple[str, ...]) -> None:
    """T1: every marker tensor that ComfyUI reads beside an SDXL's weights."""
    tensors = {mark: torch.tensor(120.0) for mark in marks}
    config = comfy.supported_models.SDXL({"in_channels": 4})
    kind = config.model_type(tensors).name
    assert ("EDM" in kind) == (edm_kind(marks) is not None)
    if edm_kind(marks) is None:
        assert kind == {"v_prediction": "V_PREDICTION", None: "EPS"}[marked_prediction(marks, {})]
