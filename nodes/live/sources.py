"""What a posted graph's conditions and models come from: a prompt's text, a world, a concept's file."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ...gcfg_core.concept.kinds import KINDS
from ...gcfg_core.concept.metadata import KIND_KEY
from ...gcfg_core.errors import ConceptFileError
from ...gcfg_core.world.page import TEXT, WORLD, read_world_page
from ...gcfg_core.world.text_encoder import read_text_encoder
from ...gcfg_core.world.tokenizer import WordTokenizer
from ..loading.model_folders import concept_path, world_folders
from .posted import Origin, Posted, PostedNode
from .widgets import PRIMITIVES

PROMPT = "CLIPTextEncode"
STARTER_WORLD, CONCEPT = "GCFG_LoadStarterWorld", "GCFG_LoadConceptModel"
EMPTY_LATENT = "EmptyLatentImage"
MOST_IN_A_ROW = 128


@dataclass(frozen=True)
class Prompt:
    """A prompt of a posted graph.

    Attributes:
        text: as written; the web page posts the beginning of a long one.
        clip: the output that encodes it; None if it is open.
    """

    text: str
    clip: Origin | None


@dataclass(frozen=True)
class WorldFacts:
    """What hints need of a world: its title, the side of its pictures in pixels, and its words."""

    title: str
    resolution: int
    words: WordTokenizer


def prompt_of(posted: Posted, origin: Origin) -> Prompt | None:
    """Return the prompt that this condition is made of; None if it is made of something else or of several."""
    for node in _way(posted, origin, "conditioning"):
        if node.kind == PROMPT:
            text = _value(posted, node, "text")
            return Prompt(text, node.origin("clip")) if isinstance(text, str) else None
    return None


def concept_file(posted: Posted, origin: Origin) -> str:
    """Return the name of the null-text concept that this model is, patched or not; "" if it is no such model."""
    for node in _way(posted, origin, "model"):
        name = node.inputs.get("concept_name")
        if node.kind == CONCEPT and isinstance(name, str):
            path = concept_path(name)
            return name if path is not None and _is_null_text(path, os.stat(path).st_mtime_ns) else ""
    return ""


def world_of(posted: Posted, origin: Origin | None, way: str) -> WorldFacts | None:
    """Return the world whose output this is, patched or not; None if it comes from elsewhere.

    Args:
        way: input by which patches pass it on, "model" or "clip".
    """
    for node in _way(posted, origin, way):
        name = node.inputs.get("world")
        folder = world_folders().get(name) if node.kind == STARTER_WORLD and isinstance(name, str) else None
        if folder is not None:
            changed = [(folder / part).stat().st_mtime_ns for part in (WORLD, TEXT) if (folder / part).is_file()]
            return _facts(folder, tuple(changed))
    return None


def latent_size(posted: Posted, origin: Origin | None) -> tuple[int, int] | None:
    """Return width and height in pixels of an empty latent; None for other latents."""
    node = posted.nodes.get(origin[0], PostedNode()) if origin else PostedNode()
    width, height = (_value(posted, node, name) for name in ("width", "height"))
    if node.kind != EMPTY_LATENT or not isinstance(width, int) or not isinstance(height, int):
        return None
    return width, height


def _way(posted: Posted, origin: Origin | None, name: str) -> Iterator[PostedNode]:
    """Yield the node of an output and those before it, as far as each has one input of this name."""
    for _ in range(MOST_IN_A_ROW):
        if origin is None or origin[0] not in posted.nodes:
            return
        yield (node := posted.nodes[origin[0]])
        origin = node.origin(name)


def _value(posted: Posted, node: PostedNode, name: str) -> object:
    """Return a widget's value, also if a primitive node supplies it; None if it is unknown before a run."""
    if (origin := node.origin(name)) is None:
        return node.inputs.get(name)
    giver = posted.nodes.get(origin[0], PostedNode())
    return giver.inputs.get("value") if giver.kind in PRIMITIVES else None


@functools.lru_cache(maxsize=64)
def _is_null_text(path: str, changed: int) -> bool:
    """Return whether a concept's file says that it reads no text; ``changed`` distinguishes versions of the file."""
    try:
        with safe_open(path, framework="pt") as file:
            kind = KINDS.get((file.metadata() or {}).get(KIND_KEY, ""))
    except (OSError, SafetensorError):
        return False
    return kind is not None and kind.null_text


@functools.lru_cache(maxsize=8)
def _facts(folder: Path, changed: tuple[int, ...]) -> WorldFacts | None:
    """Read a world's facts; ``changed`` distinguishes versions of its files. None if they cannot be read."""
    try:
        page = read_world_page(folder)
        return WorldFacts(page.title or folder.name, page.resolution, read_text_encoder(folder / TEXT).tokenizer)
    except (ConceptFileError, OSError):
        return None
