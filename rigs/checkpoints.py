"""Complete tiny checkpoints (network, text encoder, VAE), and the parts that workflows load separately."""

import inspect
import json
from pathlib import Path

import comfy.clip_model
import comfy.ldm.wan.vae
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.taesd.taesd
import torch
from torch import Tensor

from rigs.tiny import KINDS, built, unet_state
from rigs.weights import random_state

CHECKPOINTS = ("sd15", "sd2v", "sdxl", "sd3")


def tiny_checkpoint(kind: str, seed: int = 0) -> Path:
    """Write a checkpoint for Load Checkpoint: float32 network, VAE (TAESD's shape) and, if small enough, CLIP.

    sd15 and sd3 have a random CLIP-L. sdxl and sd2v have none because their text encoders cannot shrink: put
    `rigs.stand_ins` in their workflows.
    """
    if kind not in CHECKPOINTS:
        raise KeyError(f"no tiny checkpoint {kind!r}; there are {', '.join(CHECKPOINTS)}")
    return built(f"checkpoint-{kind}-{seed}", lambda: _checkpoint_state(kind, seed))


def tiny_vae(kind: str, seed: int = 0) -> Path:
    """Write a VAE file for Load VAE: TAESD's shape, and Wan's own for video."""
    name = f"vae-wan{_wan_width()}" if kind == "wan" else f"vae-{kind}"
    return built(f"{name}-{seed}", lambda: vae_state(kind, seed))


def _checkpoint_state(kind: str, seed: int) -> dict[str, Tensor]:
    parts = [("model.diffusion_model.", unet_state(kind, seed)), ("first_stage_model.", vae_state(kind, seed))]
    if kind == "sd15":
        parts.append(("cond_stage_model.transformer.", clip_l_state(seed)))
    elif kind == "sd3":
        parts.append(("text_encoders.clip_l.transformer.", clip_l_state(seed)))
    return {prefix + name: value for prefix, state in parts for name, value in state.items()}


def _wan_width() -> int:
    """Return the base channels of the video VAE: 8 if ComfyUI reads the width from the file, else Wan's own 96."""
    return 8 if "decoder.head.0.gamma" in inspect.getsource(comfy.sd.VAE.__init__) else 96


def clip_l_state(seed: int = 0) -> dict[str, Tensor]:
    """CLIP-L's random half-precision weights."""
    config = json.loads((Path(comfy.sd1_clip.__file__).parent / "sd1_clip_config.json").read_text())
    network = comfy.clip_model.CLIPTextModel(config, torch.float16, torch.device("meta"), comfy.ops.manual_cast)
    return random_state(network.state_dict(), 4000 + seed)


def vae_state(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """An autoencoder's random float32 weights for this kind's latent space."""
    if kind == "wan":
        with torch.device("meta"):
            network = comfy.ldm.wan.vae.WanVAE(dim=_wan_width(), z_dim=16, temperal_downsample=[False, True, True])
        state = random_state(network.state_dict(), 5000 + seed)
        return {name: torch.ones_like(v) if name.endswith("gamma") else v for name, v in state.items()}
    network = comfy.taesd.taesd.TAESD(latent_channels=KINDS[kind].channels)
    state = random_state(network.state_dict(), 5000 + seed)
    for name, value in state.items():
        if ".conv." in name:
            value.mul_(0.5)
        elif value.dim() > 1:
            value.mul_(1.4)
    last = max(int(name.split(".")[1]) for name in state if name.startswith("taesd_decoder."))
    state[f"taesd_decoder.{last}.weight"].mul_(0.3)
    state[f"taesd_decoder.{last}.bias"].fill_(0.5)
    return {**state, "vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
