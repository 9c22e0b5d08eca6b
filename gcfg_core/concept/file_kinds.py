"""Recognize the kind of a model file by its tensors' names, so that messages can name it and its loader."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Prefixes of a diffusion model's names in a file.
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.model.", "net.", "transformer.", "unet.", "model.")

# Each family with the names that must all be present, as its own code or as diffusers writes them.
DIFFUSION_MODELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Stable Diffusion 3", ("joint_blocks.0.context_block.attn.qkv.weight",)),
    ("Stable Diffusion 3", ("context_embedder.weight", "transformer_blocks.0.attn.add_k_proj.weight",
                            "pos_embed.proj.weight")),
    ("Stable Cascade", ("clf.1.weight",)),
    ("Stable Audio", ("transformer.rotary_pos_emb.inv_freq",)),
    ("Stable Audio", ("timestep_proj.0.weight", "global_proj.0.weight")),
    ("Stable Audio", ("rotary_pos_emb.inv_freq",)),
    ("AuraFlow", ("double_layers.0.attn.w1q.weight",)),
    ("AuraFlow", ("joint_transformer_blocks.0.attn.add_k_proj.weight",)),
    ("HunyuanDiT", ("mlp_t5.0.weight",)),
    ("HunyuanVideo", ("txt_in.individual_token_refiner.blocks.0.norm1.weight",)),
    ("HunyuanVideo", ("context_embedder.token_refiner.refiner_blocks.0.norm1.weight",)),
    ("Flux.2", ("double_stream_modulation_img.lin.weight",)),
    ("Flux.2", ("double_stream_modulation_img.linear.weight",)),
    ("Chroma", ("distilled_guidance_layer.norms.0.scale",)),
    ("Chroma", ("distilled_guidance_layer.norms.0.weight",)),
    ("Hunyuan3D", ("latent_in.weight",)),
    ("Flux", ("img_in.weight", "double_blocks.0.img_attn.norm.key_norm.scale")),
    ("Flux", ("img_in.weight", "double_blocks.0.img_attn.norm.key_norm.weight")),
    ("Flux", ("single_transformer_blocks.0.attn.norm_k.weight", "transformer_blocks.0.attn.norm_added_k.weight")),
    ("Mochi", ("t5_yproj.weight",)),
    ("Mochi", ("pos_frequencies", "time_embed.pooler.to_kv.weight")),
    ("ACE-Step", ("genre_embedder.weight",)),
    ("PixArt", ("t_block.1.weight",)),
    ("PixArt", ("adaln_single.emb.timestep_embedder.linear_1.bias", "pos_embed.proj.bias")),
    ("Sana", ("caption_norm.weight", "transformer_blocks.0.ff.conv_depth.weight")),
    ("LTX-Video", ("adaln_single.emb.timestep_embedder.linear_1.bias",)),
    ("LTX-Video", ("time_embed.emb.timestep_embedder.linear_1.bias", "scale_shift_table",
                   "caption_projection.linear_1.bias")),
    ("ACE-Step", ("encoder.lyric_encoder.layers.0.input_layernorm.weight",)),
    ("Cosmos", ("blocks.block0.blocks.0.block.attn.to_q.0.weight",)),
    ("Anima", ("blocks.0.mlp.layer1.weight", "llm_adapter.blocks.0.cross_attn.q_proj.weight")),
    ("Cosmos", ("blocks.0.mlp.layer1.weight",)),
    ("Cosmos", ("time_embed.t_embedder.linear_1.weight", "transformer_blocks.0.attn2.norm_k.weight")),
    ("Z-Image", ("cap_embedder.1.weight", "noise_refiner.0.attention.k_norm.weight", "cap_pad_token")),
    ("Z-Image", ("cap_embedder.1.weight", "noise_refiner.0.attention.norm_k.weight")),
    ("Lumina 2", ("cap_embedder.1.weight", "noise_refiner.0.attention.k_norm.weight")),
    ("OmniGen2", ("time_caption_embed.timestep_embedder.linear_1.bias", "image_index_embedding")),
    ("Lumina 2", ("time_caption_embed.caption_embedder.1.weight", "noise_refiner.0.attn.norm_k.weight")),
    ("CogVideoX", ("blocks.0.norm1.linear.weight",)),
    ("CogVideoX", ("transformer_blocks.0.norm1.linear.weight", "patch_embed.text_proj.weight", "norm_final.weight")),
    ("SeedVR2", ("blocks.31.mlp.all.proj_in_gate.weight",)),
    ("Wan", ("head.modulation",)),
    ("Wan", ("condition_embedder.time_proj.weight", "blocks.0.attn2.norm_k.weight")),
    ("Hunyuan3D", ("t_embedder.mlp.2.weight", "blocks.0.attn1.k_norm.weight")),
    ("HiDream", ("caption_projection.0.linear.weight",)),
    ("HiDream", ("t_embedder1.mlp.0.weight", "x_embedder.proj1.weight")),
    ("Qwen-Image", ("txt_norm.weight",)),
    ("Ideogram 4", ("embed_image_indicator.weight",)),
    ("Krea 2", ("txtfusion.projector.weight",)),
    ("Kandinsky 5", ("visual_transformer_blocks.0.cross_attention.key_norm.weight",)),
    ("ERNIE-Image", ("layers.0.mlp.linear_fc2.weight",)),
    ("Stable Video Diffusion", ("input_blocks.1.0.time_stack.emb_layers.1.bias",)),
    ("Stable Zero123", ("cc_projection.weight",)),
    ("Stable Video Diffusion", ("down_blocks.0.resnets.0.temporal_res_block.norm1.weight",)),
)  # fmt: skip

_CONTROL = "Load ControlNet Model loads it; Apply ControlNet puts it on a side's conditioning."
_TEXT = "Load CLIP loads it; a base carries its own."
_VAE = "Load VAE loads it; the trainer takes it as --vae beside a base that carries none."
# Every other kind with the name prefixes that only it has, and the node that loads it.
OTHER_PARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "ControlNet": (
        ("control_model.", "controlnet_cond_embedding.", "controlnet_blocks.", "controlnet_down_blocks.", "zero_convs.",
         "input_hint_block.", "controlnet_x_embedder.", "after_proj_list.", "adapter.body.", "body.0.resnets."),
        _CONTROL,
    ),
    "AnimateDiff motion module": (
        ("down_blocks.0.motion_modules.", "mid_block.motion_modules."), "An AnimateDiff node loads it onto a model."
    ),
    "IP-Adapter": (("ip_adapter.", "image_proj."), "An IP-Adapter node loads it and puts it on a side's model."),
    "CLIP vision encoder": (
        ("vision_model.", "visual.transformer.", "visual.conv1."), "Load CLIP Vision loads it; a base needs none."
    ),
    "VAE": (
        ("first_stage_model.", "encoder.down", "decoder.up", "decoder.conv_in.", "decoder.conv_out.", "decoder.mid",
         "taesd_decoder.", "encoder.layers.1.conv.", "encoder.conv_in.", "quant_conv.", "vquantizer."),
        _VAE,
    ),
    "text encoder": (
        ("text_model.", "transformer.resblocks.", "cond_stage_model.", "conditioner.embedders.", "text_encoders.",
         "encoder.block.0.layer.", "model.layers.0.", "layers.0.self_attn.", "encoder.layers.0.self_attn.",
         "model.encoder.layers.", "model.language_model."),
        _TEXT,
    ),
    "textual inversion": (("emb_params", "string_to_param", "string_to_token"), "Put it into ComfyUI's embeddings."),
    "upscale model": (("conv_first.", "model.1.sub.", "params_ema.", "body.0.rdb1."), "Load Upscale Model loads it."),
}  # fmt: skip

LORA = re.compile(r"(^|[._])(lora|lycoris)([._]|$)|\.(hada_w|lokr_w)\d|\.dora_scale|\.oft_(blocks|diag)")
LORA_REMEDY = "In ComfyUI: LoRA Loader + Guidance Term, one of whose sides is the model with the LoRA on it."
FAMILY_REMEDY = (
    "Load Diffusion Model (Load Checkpoint for a whole checkpoint) loads it where ComfyUI knows the family, and any "
    "side of a guidance graph can be on it; only SD1.5, SD2 and SDXL can be trained."
)


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is neither a concept nor a trainable base.

    Attributes:
        name: with its article, for example "a Flux model".
        remedy: a sentence that names the node which loads it.
    """

    name: str
    remedy: str


def kind_of(names: Iterable[str]) -> FileKind | None:
    """Return the kind of a file with these tensor names; None for unknown kinds and for UNets of SD1.5, SD2 and SDXL.

    A kind is recognized by the names that ComfyUI's own detection uses, or by diffusers' names of the same layers.
    """
    given = list(names)
    bare = {_bare(name) for name in given}
    if "lora_controlnet" in bare or _begins(bare, given, OTHER_PARTS["ControlNet"][0]):
        return _part("ControlNet")
    if any(LORA.search(name) for name in given):
        return FileKind("a LoRA", LORA_REMEDY)
    other = (_part(kind) for kind, (signs, _) in OTHER_PARTS.items() if _begins(bare, given, signs))
    return diffusion_family(given) or next(other, None)


def diffusion_family(names: Iterable[str]) -> FileKind | None:
    """Return the family of a diffusion model, alone or inside a checkpoint; None for SD1.5, SD2, SDXL and unknown
    families."""
    bare = {_bare(name) for name in names}
    known = (family for family, signs in DIFFUSION_MODELS if all(sign in bare for sign in signs))
    return next((FileKind(f"{_article(family)} {family} model", FAMILY_REMEDY) for family in known), None)


def _part(kind: str) -> FileKind:
    return FileKind(f"{_article(kind)} {kind}", OTHER_PARTS[kind][1])


def _begins(bare: set[str], given: list[str], signs: tuple[str, ...]) -> bool:
    return any(name.startswith(signs) for name in (*bare, *given))


def _bare(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def _article(noun: str) -> str:
    return "an" if noun[0] in "AEIOUaeio" or noun.startswith("LTX") else "a"
