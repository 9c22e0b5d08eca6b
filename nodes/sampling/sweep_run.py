"""Sample the pictures of a sweep one after another, then decode them; an interrupt keeps those that are done."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import comfy.model_management
import torch
from comfy_execution.utils import get_executing_context

from ...gcfg_core.guidance.sweep import Sweep
from .guider import GCFGGuider
from .sample_latent import sample_latent
from .sweep_progress import SweepProgress

Interrupted = comfy.model_management.InterruptProcessingException

_interrupted: Counter[str | None] = Counter()
"""Number of interrupted sweeps by node id: ComfyUI must not reuse an incomplete result as complete when the node is
queued again."""


def interruptions() -> int:
    """Return the number of interrupted sweeps of the node that ComfyUI is running or asking about."""
    return _interrupted[_node_id()]


def sample_sweep(
    sweep: Sweep, guiders: Sequence[GCFGGuider], latent: dict[str, Any], sampler_name: str, sigmas: torch.Tensor,
    progress: SweepProgress,
) -> list[torch.Tensor]:  # fmt: skip
    """Return the latents of the cells in order, each [B, C, ...] as from GCFG Sampler; after an interrupt the first
    ones.

    Models stay loaded from one cell to the next, as nothing else is loaded between.

    Args:
        guiders: one for each cell.

    Raises:
        Interrupted: before the first cell was done.
    """
    done: list[torch.Tensor] = []
    try:
        for k, (guider, cell) in enumerate(zip(guiders, sweep.cells, strict=True)):
            logging.info("GCFG: picture %d of %d, %s", k + 1, len(guiders), sweep.name(k))
            result = sample_latent(guider, latent, cell.seed, sampler_name, sigmas, progress.callback(k))
            done.append(result["samples"])
    except Interrupted:
        if not done:
            raise
        _interrupted[_node_id()] += 1
        logging.warning("GCFG: interrupted; %d of %d pictures are done and kept", len(done), len(guiders))
    return done


def decode_sweep(vae: Any, latents: Sequence[torch.Tensor], is_cut: bool) -> list[torch.Tensor]:
    """Return the pictures of these latents, each [N, H, W, 3] as from VAE Decode; of videos every frame.

    Args:
        is_cut: the sweep has been interrupted.

    Raises:
        Interrupted: a second time; the first interrupt keeps everything that is sampled.
    """
    pictures: list[torch.Tensor] = []
    while len(pictures) < len(latents):
        try:
            decoded = vae.decode(latents[len(pictures)])
        except Interrupted:
            if is_cut:
                raise
            is_cut = True
            continue
        pictures.append(decoded.reshape(-1, *decoded.shape[-3:])[..., :3].cpu())
    return pictures


def _node_id() -> str | None:
    context = get_executing_context()
    return None if context is None else context.node_id
