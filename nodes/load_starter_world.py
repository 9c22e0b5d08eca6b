"""Load Starter World: a small world, the pack's own or one from models/gcfg_worlds, becomes MODEL, CLIP, VAE and an
empty LATENT."""

from __future__ import annotations

from comfy_api.latest import io

from ..gcfg_core.errors import ConceptFileError
from ..gcfg_core.world.page import TEXT, UNET, VAE, WORLD
from .comfyui.types import CATEGORY, search_aliases
from .loading.model_folders import WORLDS, world_folders

NONE = "no world found"
FILES = (WORLD, UNET, TEXT, VAE)


class LoadStarterWorldNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_LoadStarterWorld",
            display_name="Load Starter World",
            category=CATEGORY,
            description="Loads a small world: a model, its text encoder and its VAE, trained together and small enough "
            "for a CPU, and an empty latent of their size. All work in ComfyUI's own nodes as a checkpoint's do.",
            inputs=[
                io.Combo.Input(
                    "world",
                    options=list(world_folders()) or [NONE],
                    tooltip="The world that comes with this pack, or a folder with a world.json in models/gcfg_worlds, "
                    "as the trainer writes it.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model",
                    display_name="model",
                    tooltip="Reads prompts. Its latents are its own VAE's, or pixels. Concept models trained from this "
                    "world mix with it.",
                ),
                io.Clip.Output(
                    "clip",
                    display_name="clip",
                    tooltip="For CLIP Text Encode. Knows the words of its captions alone; the log names others. "
                    "Weights such as (red:1.3) work.",
                ),
                io.Vae.Output(
                    "vae",
                    display_name="vae",
                    tooltip="For VAE Encode and VAE Decode of this world's latents.",
                ),
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="An empty latent of one picture, of the size that this world was trained on. For more "
                    "pictures: Repeat Latent Batch.",
                ),
            ],
            **search_aliases("gcfg", "small world", "starter model", "tiny model", "checkpoint loader", "demo"),
        )

    @classmethod
    def fingerprint_inputs(cls, world: str) -> str:
        """Load a world again when it was written again under its old name."""
        folder = world_folders().get(world)
        facts = [(folder / name).stat() for name in FILES if (folder / name).is_file()] if folder else []
        return " ".join([str(folder), *(f"{file.st_mtime_ns} {file.st_size}" for file in facts)])

    @classmethod
    def execute(cls, world: str) -> io.NodeOutput:
        from .loading.world_loader import load_world  # when it is needed: ComfyUI starts sooner

        folder = world_folders().get(world)
        try:
            if folder is None:
                raise ConceptFileError.saying(
                    world,
                    f"There is no folder with a {WORLD} in models/{WORLDS}. Put a world there, as `python -m training` "
                    "writes it, and refresh the node list (key R).",
                )
            return io.NodeOutput(*load_world(folder))
        except ConceptFileError as error:
            where = world if folder is None else f"{world}: {error.name}"
            raise ConceptFileError(
                f"Load Starter World, input world: {where}", error.expected, error.got, error.remedy
            ) from error
