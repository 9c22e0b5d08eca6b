#!/usr/bin/env bash
# diffusers 0.42.1, load_lora_weights of a kohya-style LoRA for SDXL
# Expected: every layer that the file names is loaded, or the file is refused, as it is for a tensor of unknown name.
# Happens:  `lora_unet_add_embedding_linear_1` and `..._linear_2` lose their digit when names are converted (one
#           overwrites the other), match no layer, and are dropped; only a warning speaks of it. The time embedding's
#           layers, named in the same way, keep theirs, and so does `label_emb_0_0`, the older name of the same layer.
#           A tensor that is no LoRA tensor (here an offset of a norm) makes the loader refuse the whole file.
# Hurts:    trainers that name SDXL's layers as diffusers does: their LoRA loads, and the part that it learnt in the
#           embedding of picture sizes and pooled text is missing. Comparing with another program shows other pictures.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 diffusers==0.42.1 transformers==5.24.0 peft==0.21.2

"$folder/venv/bin/python" - <<'PYTHON'
import diffusers
import peft
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

print("diffusers", diffusers.__version__, "peft", peft.__version__, "torch", torch.__version__)
ATTENTION = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def small_sdxl() -> StableDiffusionXLPipeline:
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=32, attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=80,
    )
    parts = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    return StableDiffusionXLPipeline(unet=unet, scheduler=EulerDiscreteScheduler(), **parts)


def pair(name: str, module: torch.nn.Linear) -> dict[str, torch.Tensor]:
    down, up = torch.randn(2, module.in_features), torch.randn(module.out_features, 2)
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(2.0)}


def loaded(extra: dict[str, torch.Tensor]) -> list[str]:
    """Names of the layers that carry a LoRA after loading the attention layer's pair and `extra`."""
    pipeline = small_sdxl()
    query = pipeline.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
    pipeline.load_lora_weights(pair(ATTENTION, query) | extra)
    return sorted(name.removesuffix(".lora_A") for name, _ in pipeline.unet.named_modules() if name.endswith(".lora_A"))


unet = small_sdxl().unet
first, second, time = unet.add_embedding.linear_1, unet.add_embedding.linear_2, unet.time_embedding.linear_1
cases = {
    "add_embedding, both layers": pair("lora_unet_add_embedding_linear_1", first)
    | pair("lora_unet_add_embedding_linear_2", second),
    "time_embedding": pair("lora_unet_time_embedding_linear_1", time),
    "label_emb": pair("lora_unet_label_emb_0_0", first),
}
seen = {case: [name for name in loaded(extra) if "attn1" not in name] for case, extra in cases.items()}
for case, names in seen.items():
    print(f"{case}: loaded beside the attention layer {names}")
assert list(seen.values()) == [[], ["time_embedding.linear_1"], ["add_embedding.linear_1"]]

try:
    loaded({"lora_unet_conv_norm_out.w_norm": torch.zeros(32)})
except ValueError as error:
    print("a tensor of another kind: ValueError:", " ".join(str(error).split()))
else:
    raise SystemExit("a tensor of another kind no longer stops the loader")
PYTHON
