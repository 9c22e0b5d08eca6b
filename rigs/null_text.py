"""Small null-text concepts with random weights, and the same network in diffusers, built as the paper's authors do."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.null_text import record_text_attention, remove_text_attention, text_attentions
from gcfg_core.concept.unet_configs import CONFIGS

# SD1.5, SD2 and SDXL with all their levels and kinds of block, at a tenth of their width.
SMALL = {
    "sd15": {**CONFIGS["sd15"], "block_out_channels": [32, 64, 128, 128]},
    "sd2": {**CONFIGS["sd2"], "block_out_channels": [32, 64, 128, 128], "attention_head_dim": [1, 2, 4, 4]},
    "sdxl": {
        **CONFIGS["sdxl"],
        "block_out_channels": [32, 64, 128],
        "attention_head_dim": [1, 2, 4],
        "transformer_layers_per_block": [1, 2, 3],
    },
}
# SD1.5 and SDXL at their true width with one or two levels: enough to recognise a file without metadata.
WIDE = {
    "sd15": {
        **CONFIGS["sd15"],
        "block_out_channels": [320],
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D"],
        "up_block_types": ["UpBlock2D"],
        "mid_block_type": None,
    },
    "sdxl": {
        **CONFIGS["sdxl"],
        "block_out_channels": [320, 320],
        "attention_head_dim": [5, 5],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2],
    },
}


def text_unet(config: dict, seed: int = 0) -> nn.Module:
    """A diffusers UNet2DConditionModel with random weights."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    return UNet2DConditionModel.from_config(config).eval()


def unet_inputs(config: dict, seed: int = 0, batch: int = 2, size: int = 16) -> dict:
    """Arguments of a diffusers UNet: x, timesteps and random text."""
    draw = torch.Generator().manual_seed(seed)
    inputs = {
        "sample": torch.randn(batch, config["in_channels"], size, size, generator=draw),
        "timestep": torch.linspace(50, 900, batch).round(),
        "encoder_hidden_states": torch.randn(batch, 7, config["cross_attention_dim"], generator=draw),
    }
    if config.get("addition_embed_type"):
        pooled, ids = sdxl_constants()
        inputs["added_cond_kwargs"] = {"text_embeds": pooled.repeat(batch, 1), "time_ids": ids.repeat(batch, 1)}
    return inputs


def sdxl_constants(seed: int = 5) -> tuple[Tensor, Tensor]:
    """A pooled text vector [1, 1280] and size ids [1, 6]."""
    pooled = torch.randn(1, 1280, generator=torch.Generator().manual_seed(seed))
    return pooled, torch.tensor([[768.0, 512.0, 8.0, 16.0, 1024.0, 640.0]])


def make_concept(config: dict, seed: int = 0, **fields: object) -> Concept:
    """A null-text concept measured on a random UNet; its tensors are shared between calls."""
    return dataclasses.replace(_measured(json.dumps(config), seed), **fields)


@functools.lru_cache
def _measured(config_json: str, seed: int) -> Concept:
    config = json.loads(config_json)
    unet = text_unet(config, seed)
    with torch.no_grad(), record_text_attention(unet) as means:
        unet(**unet_inputs(config, seed))
    remove_text_attention(unet, means.constants())
    pooled, ids = sdxl_constants() if config.get("addition_embed_type") else (None, None)
    return Concept(tensors=unet.state_dict(), config=config, text_embeds=pooled, time_ids=ids)


def forget_concepts() -> None:
    """Free the shared tensors of `make_concept`."""
    _measured.cache_clear()


def concept_path(folder: Path, config: dict, name: str = "concept", seed: int = 0, **fields: object) -> Path:
    """Write a format 1 file with a concept of `make_concept`."""
    path = folder / f"{name}.safetensors"
    write_concept(path, make_concept(config, seed, **fields))
    return path


def make_text_constant(unet: nn.Module) -> dict[str, Tensor]:
    """Give every cross-attention a constant output, whatever the text; return the constants, [channels] per layer."""
    for _, block in text_attentions(unet):
        nn.init.zeros_(block.attn2.to_out[0].weight)
        nn.init.normal_(block.attn2.to_out[0].bias)
    return {path: block.attn2.to_out[0].bias.detach().clone() for path, block in text_attentions(unet)}


def twin_paths(folder: Path, config: dict) -> tuple[Path, Path]:
    """Write two format 1 files of one network: a null-text concept, and a UNet whose cross-attention is constant."""
    concept, text = folder / "concept.safetensors", folder / "text.safetensors"
    unet = text_unet(config)
    constants = make_text_constant(unet)
    write_concept(text, Concept(tensors=unet.state_dict(), config=config, kind="unet"))
    remove_text_attention(unet, constants)
    pooled, ids = sdxl_constants() if config.get("addition_embed_type") else (None, None)
    write_concept(concept, Concept(tensors=unet.state_dict(), config=config, text_embeds=pooled, time_ids=ids))
    return concept, text


def metadata_of(path: Path) -> dict[str, str]:
    """The strings that a safetensors file carries beside its tensors."""
    with safe_open(path, framework="pt") as handle:
        return dict(handle.metadata())


def authors_unet(config: dict, state_dict: dict[str, Tensor]) -> nn.Module:
    """Build the null-text network as the paper's authors describe it, in diffusers and without our code: each attn2
    returns a buffer, each norm2 is an identity, and the state dict must fit exactly."""
    with torch.device("meta"):  # its weights are replaced below
        unet = text_unet(config)
    for module in list(unet.modules()):
        if hasattr(module, "attn2") and hasattr(module, "norm2"):
            module.norm2 = nn.Identity()
            module.attn2 = _Constant(module.attn2.to_q.in_features)
    unet.load_state_dict(state_dict, strict=True, assign=True)
    return unet


class _Constant(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("null_text_feature", torch.zeros(1, 1, channels))

    def forward(self, hidden_states: Tensor, **ignored: object) -> Tensor:
        return self.null_text_feature.repeat(hidden_states.shape[0], hidden_states.shape[1], 1)


def as_denoised(
    predict: Callable[[Tensor, Tensor], Tensor], model: object, x: Tensor, sigma: Tensor, v: bool
) -> Tensor:
    """Compute ComfyUI's denoised latent from a diffusers network's own output.

    Args:
        predict: (scaled x, timestep) -> network output, all [B, ...].
        model: ComfyUI's BaseModel, asked only for the timestep of a sigma.
        x, sigma: [B, C, H, W] and [B].
        v: the network predicts v instead of epsilon.
    """
    s = sigma.view(-1, 1, 1, 1)
    output = predict(x / (s**2 + 1) ** 0.5, model.model_sampling.timestep(sigma).float())
    return x / (s**2 + 1) - output * s / (s**2 + 1) ** 0.5 if v else x - output * s


def denoised_by_concept(model: Any, x: Tensor, sigma: Tensor, **conds: object) -> Tensor:
    """Call ComfyUI's apply_model with text and an added embedding, both of which a null-text model must ignore."""
    y = model.extra_conds(device="cpu", noise=x, **conds).get("y")
    rest = {} if y is None else {"y": y.cond.repeat(x.shape[0], 1)}
    return model.apply_model(x, sigma, c_crossattn=torch.randn(x.shape[0], 77, 99), **rest)
