"""Pieces that most workflows have in common."""

from __future__ import annotations

from typing import Any

from .graph import Node, Output, Workflow
from .models import ModelFile

Source = Node | Output

SEED = 20231213


def checkpoint(flow: Workflow, model: ModelFile, title: str = "") -> Node:
    """Load Checkpoint."""
    return flow.add("CheckpointLoaderSimple", title, (model,), ckpt_name=model.name)


def concept(flow: Workflow, model: ModelFile, title: str = "") -> Node:
    """Load Concept Model."""
    return flow.add("GCFG_LoadConceptModel", title, (model,), concept_name=model.name)


def text(flow: Workflow, clip: Source, words: str, title: str) -> Node:
    """A prompt."""
    return flow.add("CLIPTextEncode", title, text=words, clip=clip, room=140)


def term(flow: Workflow, title: str, **inputs: Any) -> Node:
    """A guidance term."""
    return flow.add("GCFG_GuidanceTerm", title, **inputs)


def sampler(flow: Workflow, model: Source, conditioning: Source, latent: Source, **inputs: Any) -> Node:
    """GCFG Sampler with the paper's sampler and steps."""
    settings = {"seed": SEED, "steps": 25, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return flow.add(
        "GCFG_Sampler", model=model, conditioning=conditioning, latent_image=latent, **{**settings, **inputs}
    )


def empty_latent(flow: Workflow, size: int = 512) -> Node:
    """A latent to begin from."""
    return flow.add("EmptyLatentImage", width=size, height=size, batch_size=1)


def source_image(flow: Workflow) -> tuple[Node, Node]:
    """A picture of the input folder (ComfyUI brings example.png), and the same cut to 512 x 512."""
    loaded = flow.add("LoadImage", "Picture to start from", image="example.png")
    scaled = flow.add("ImageScale", image=loaded, upscale_method="lanczos", width=512, height=512, crop="center")
    return loaded, scaled


def picture(flow: Workflow, latent: Source, vae: Source) -> Node:
    """Decode and save."""
    with flow.column("Picture"):
        image = flow.add("VAEDecode", samples=latent, vae=vae)
        return flow.add("SaveImage", images=image, filename_prefix=f"gcfg/{flow.name}")
