"""The model files that the workflows name, and where to get them."""

from __future__ import annotations

from dataclasses import dataclass

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class ModelFile:
    """A model file: its name in ComfyUI, its folder under models/, its address ("" where it is not public)."""

    name: str
    folder: str
    url: str = ""


SD15 = ModelFile(
    "v1-5-pruned-emaonly-fp16.safetensors", "checkpoints",
    f"{HUB}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors",
)  # fmt: skip
CONCEPT = ModelFile("concept_sd15_null_text.safetensors", "gcfg_concepts")
SECOND_CONCEPT = ModelFile("concept_2_sd15_null_text.safetensors", "gcfg_concepts")
