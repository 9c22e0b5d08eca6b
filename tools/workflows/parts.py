"""Pieces that most workflows have in common."""

from __future__ import annotations

from typing import Any

from .cast import WORLD_TITLE
from .graph import Node, Output, Workflow
from .models import ModelFile

Source = Node | Output

SEED = 20231213


def base_model(flow: Workflow, title: str = "Base model") -> Node:
    """Add the base model of the workflow's cast, with CLIP and VAE: a checkpoint, or the starter world."""
    if flow.cast.base is None:
        return flow.add("GCFG_LoadStarterWorld", title, world=WORLD_TITLE)
    return checkpoint(flow, flow.cast.base, title)


def base_and_concept(flow: Workflow) -> tuple[Node, Node]:
    """Add the base model and the concept model of the cast in a new column."""
    with flow.column("Models"):
        return base_model(flow), concept(flow, flow.cast.concept)


def tuned_model(flow: Workflow, base: Node, title: str) -> tuple[Node, Output]:
    """Add the fine-tuned model of the cast; return it and the CLIP that reads its prompts."""
    if flow.cast.is_starter:
        return concept(flow, flow.cast.tuned, title), base["CLIP"]
    loaded = checkpoint(flow, flow.cast.tuned, title)
    return loaded, loaded["CLIP"]


def checkpoint(flow: Workflow, model: ModelFile, title: str = "") -> Node:
    """Add Load Checkpoint."""
    return flow.add("CheckpointLoaderSimple", title, (model,), ckpt_name=model.name)


def concept(flow: Workflow, model: ModelFile, title: str = "") -> Node:
    """Add Load Concept Model."""
    return flow.add("GCFG_LoadConceptModel", title, (model,), concept_name=model.name)


def text(flow: Workflow, clip: Source, words: str, title: str, starter: str = "") -> Node:
    """Add a prompt; ``starter``: the same request in the words that the starter world knows."""
    return flow.add("CLIPTextEncode", title, text=starter if flow.cast.is_starter else words, clip=clip, room=140)


def prompt_and_null(flow: Workflow, base: Node, words: str, starter: str = "") -> tuple[Node, Node]:
    """Add a prompt as `text` does, and the empty prompt of the base condition, both read by the base's CLIP."""
    prompt = text(flow, base["CLIP"], words, "Prompt", starter)
    return prompt, text(flow, base["CLIP"], "", "Base condition (empty)")


def term(flow: Workflow, title: str, **inputs: Any) -> Node:
    """Add a guidance term."""
    return flow.add("GCFG_GuidanceTerm", title, **inputs)


def concept_and_control_terms(
    flow: Workflow, model: Source, prompt: Source, weights: tuple[float, float] = (2.5, 2.5), label: str = "concept"
) -> Node:
    """Add the paper's two terms in a new column: a concept's, named ``label``, and the prompt's."""
    with flow.column("Guidance: two terms"):
        fidelity = term(flow, "Concept term", model=model, weight=weights[0], label=label)
        return term(flow, "Control term", terms=fidelity, positive=prompt, weight=weights[1], label="control")


def sampler(flow: Workflow, model: Source, conditioning: Source, latent: Source, **inputs: Any) -> Node:
    """Add GCFG Sampler with the paper's steps, and the paper's sampler or the cast's."""
    return flow.add(
        "GCFG_Sampler", model=model, conditioning=conditioning, latent_image=latent, **{**sampling(flow), **inputs}
    )


def sampling(flow: Workflow) -> dict[str, Any]:
    """Return seed, steps, sampler and scheduler."""
    return {"seed": SEED, "steps": 25, "sampler_name": flow.cast.sampler, "scheduler": flow.cast.scheduler}


def first_latent(flow: Workflow, base: Node) -> Node:
    """Add a latent of the cast's size to start from. The starter's comes from a blank picture, because ComfyUI versions
    differ in the number of pixels for a position of an empty latent."""
    if not flow.cast.is_starter:
        return empty_latent(flow, flow.cast.side)
    blank = flow.add("EmptyImage", "Blank picture", width=flow.cast.side, height=flow.cast.side, color=0x808080)
    return flow.add("VAEEncode", pixels=blank, vae=base["VAE"])


def empty_latent(flow: Workflow, size: int = 512) -> Node:
    """Add a latent to start from."""
    return flow.add("EmptyLatentImage", width=size, height=size, batch_size=1)


def source_image(flow: Workflow) -> tuple[Node, Node]:
    """Add a picture of the input folder (ComfyUI includes example.png), and the same picture cut to 512 x 512."""
    loaded = flow.add("LoadImage", "Picture to start from", image="example.png")
    scaled = flow.add("ImageScale", image=loaded, upscale_method="lanczos", width=512, height=512, crop="center")
    return loaded, scaled


def source_latent(flow: Workflow, base: Node) -> tuple[Node, Output | None]:
    """Add a picture to start from as a latent, and its mask: the loaded picture's, or none for a face that the starter
    world draws first."""
    if flow.cast.is_starter:
        words = "an adventurer face, light skin, red hair, yellow background"
        prompt = text(flow, base["CLIP"], "", "What to draw first", starter=words)
        null = text(flow, base["CLIP"], "", "Without a prompt")
        return flow.add("KSampler", "Picture to start from", model=base, positive=prompt, negative=null, seed=SEED,
                        latent_image=first_latent(flow, base), steps=25, cfg=3.0, sampler_name=flow.cast.sampler,
                        scheduler=flow.cast.scheduler), None  # fmt: skip
    loaded, image = source_image(flow)
    return flow.add("VAEEncode", pixels=image, vae=base["VAE"]), loaded["MASK"]


def masked(flow: Workflow, mask: Output | None) -> Source:
    """Return the mask, or a mask of the lower half of the picture if there is none."""
    if mask is not None:
        return mask
    side = flow.cast.side
    black = flow.add("SolidMask", "Whole picture, black", value=0.0, width=side, height=side)
    white = flow.add("SolidMask", "Lower half, white", value=1.0, width=side, height=side // 2)
    return flow.add("MaskComposite", destination=black, source=white, x=0, y=side // 2, operation="add")


def picture(flow: Workflow, latent: Source, vae: Source) -> Node:
    """Add decoding and saving."""
    with flow.column("Picture"):
        image = flow.add("VAEDecode", samples=latent, vae=vae)
        if flow.cast.enlarged != flow.cast.side:
            side = flow.cast.enlarged
            image = flow.add("ImageScale", "Enlarge, to look at", image=image, upscale_method="nearest-exact",
                             width=side, height=side, crop="disabled")  # fmt: skip
        return flow.add("SaveImage", images=image, filename_prefix=f"gcfg/{flow.name}")
