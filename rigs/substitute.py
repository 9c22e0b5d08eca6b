"""Run any workflow with tiny models: a file of the right kind for every name that the workflow loads."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw

from rigs.checkpoints import tiny_checkpoint, tiny_vae
from rigs.concepts import CONFIGS, tiny_concept
from rigs.controlnet import controlnet_file
from rigs.host import cache_dir
from rigs.lora import lora_file
from rigs.tiny import load_tiny, tiny_unet

NAMES = (("wan", r"wan"), ("sdxl", r"xl"), ("sd3", r"sd3|sd_?3"), ("sd2v", r"768|v2|sd_?2"))
"""Patterns in a model file's name for each kind; SD1.5 if none of them matches."""

LOADERS: dict[str, tuple[str, str, Callable[[str, int], Path]]] = {
    "CheckpointLoaderSimple": ("ckpt_name", "checkpoints", tiny_checkpoint),
    "UNETLoader": ("unet_name", "diffusion_models", tiny_unet),
    "GCFG_LoadConceptModel": ("concept_name", "gcfg_concepts", lambda kind, seed: _concept_or_model(kind, seed)),
    "VAELoader": ("vae_name", "vae", lambda kind, seed: tiny_vae(kind)),
    "LoraLoader": ("lora_name", "loras", lambda kind, seed: lora_file(load_tiny(kind), seed)),
    "LoraLoaderModelOnly": ("lora_name", "loras", lambda kind, seed: lora_file(load_tiny(kind), seed)),
    "ControlNetLoader": ("control_net_name", "controlnet", lambda kind, seed: controlnet_file()),
}
"""Loader nodes: the input that names the file, its model folder, and the maker of a tiny file (kind, seed)."""

TEXT_ENCODERS = ("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader")
WITHOUT_TEXT = ("sdxl", "sd2v")
"""Kinds whose tiny checkpoint has no text encoder."""

STARTER = "GCFG_LoadStarterWorld"
"""A workflow with this node runs on the pack's own models, which are already small."""

RESIZED = ("ImageScale", "SolidMask")
"""Nodes whose sides keep their proportions when they shrink."""

SIZES = ("EmptyLatentImage", "EmptySD3LatentImage", "EmptyHunyuanLatentVideo", "WanImageToVideo")


@dataclass
class Substitution:
    """A prompt that runs on tiny models, and the files that a server needs for it."""

    prompt: dict[str, dict]
    models: dict[str, dict[str, Path]] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)


def kind_of(prompt: dict[str, dict]) -> str:
    """Return the architecture of a workflow, from the names of its model files."""
    names = " ".join(
        str(node["inputs"].get(LOADERS[node["class_type"]][0])).lower()
        for node in prompt.values()
        if node["class_type"] in ("CheckpointLoaderSimple", "UNETLoader", "VAELoader")
    )
    return next((kind for kind, pattern in NAMES if re.search(pattern, names)), "sd15")


def substitute(prompt: dict[str, dict], steps: int = 3, size: int = 64) -> Substitution:
    """Find tiny stand-ins for everything that an API-format prompt loads, and make it small.

    The prompt keeps its nodes, links and file names; text encoders that cannot shrink become `rigs.stand_ins` nodes.

    Args:
        prompt: left as it is.
        steps: most steps of any sampler or scheduler.
        size: most pixels a side of any new latent, and the side of every image that is loaded.
    """
    result = Substitution(copy.deepcopy(prompt))
    if any(node["class_type"] == STARTER for node in prompt.values()):
        for node in result.prompt.values():
            _shrink(node["class_type"], node["inputs"], steps, size)
        return result
    kind = kind_of(prompt)
    for identity, node in list(result.prompt.items()):
        inputs, name = node["inputs"], node["class_type"]
        if name in LOADERS:
            key, folder, make = LOADERS[name]
            files = result.models.setdefault(folder, {})
            seed = sum(map(len, result.models.values()))
            files.setdefault(inputs[key], make(kind, seed))
            if name == "CheckpointLoaderSimple" and kind in WITHOUT_TEXT:
                _stand_in(result.prompt, identity, 1, kind)
        elif name in TEXT_ENCODERS:
            result.prompt[identity] = {"class_type": "StandInCLIPLoader", "inputs": {"kind": kind}}
        elif name in ("LoadImage", "LoadImageMask"):
            result.images[inputs["image"]] = picture(size)
        _shrink(name, inputs, steps, size)
    _shrink_together([n["inputs"] for n in result.prompt.values() if n["class_type"] in RESIZED], size)
    return result


def picture(size: int) -> Path:
    """A small RGBA picture with shapes in it and a transparent half (which loads as its mask)."""
    path = cache_dir() / f"picture-{size}.png"
    if not path.is_file():
        image = Image.new("RGBA", (size, size), (40, 90, 160, 255))
        draw = ImageDraw.Draw(image)
        draw.ellipse((size // 8, size // 8, size // 2, size // 2), (230, 190, 60, 255))
        draw.rectangle((size // 2, 0, size, size), (120, 160, 80, 0))
        image.save(path)
    return path


def _concept_or_model(kind: str, seed: int) -> Path:
    return tiny_concept(kind, seed) if kind in CONFIGS else tiny_unet(kind, seed)


def _stand_in(prompt: dict[str, dict], loader: str, output: int, kind: str) -> None:
    """Connect every use of a loader's missing CLIP to a stand-in node."""
    added = f"{loader}-clip"
    for node in prompt.values():
        for key, value in node["inputs"].items():
            if value == [loader, output]:
                node["inputs"][key] = [added, 0]
    prompt[added] = {"class_type": "StandInCLIPLoader", "inputs": {"kind": kind}}


def _shrink(name: str, inputs: dict, steps: int, size: int) -> None:
    if isinstance(inputs.get("steps"), int):
        inputs["steps"] = min(inputs["steps"], steps)
    if name in SIZES:
        inputs["width"], inputs["height"] = min(inputs["width"], size), min(inputs["height"], size)
        if "length" in inputs:
            inputs["length"] = min(inputs["length"], 5)


def _shrink_together(nodes: list[dict], size: int) -> None:
    """Scale width and height of all these nodes by one factor, so that the largest side becomes `size`."""
    largest = max((inputs[side] for inputs in nodes for side in ("width", "height")), default=0)
    if largest > size:
        for inputs in nodes:
            for side in ("width", "height"):
                inputs[side] = inputs[side] * size // largest
