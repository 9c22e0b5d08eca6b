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
from .conditions import NODES
from .posted import Origin, Posted, PostedNode
from .widgets import LONGEST_TEXT, PRIMITIVES

PROMPT, EMPTIED = "CLIPTextEncode", "ConditioningZeroOut"
KEEP_THE_TEXT = {*NODES, "ControlNetApply", "FluxGuidance", "unCLIPConditioning", "StyleModelApply"}
"""Nodes with an input ``conditioning`` behind which the text is still the prompt's."""
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
    """What hints need of a world: title, side of its pictures in pixels, words, and whether it has a VAE."""

    title: str
    resolution: int
    words: WordTokenizer
    has_vae: bool


class Sources:
    """The sources of one posted graph."""

    def __init__(self, posted: Posted) -> None:
        self.posted = posted

    @functools.cached_property
    def worlds(self) -> dict[str, Path]:
        """The folders of all worlds by name, found once for a request."""
        return world_folders()

    def prompt_of(self, origin: Origin) -> Prompt | None:
        """Return the prompt that this condition is made of, an empty one if its features are zeros; None if it is made
        of something else or of several."""
        for node in self._way(origin, "conditioning"):
            if node.kind == EMPTIED:
                return Prompt("", None)
            if node.kind == PROMPT:
                text = self.value(node, "text")
                return Prompt(text[:LONGEST_TEXT], node.origin("clip")) if isinstance(text, str) else None
            if node.kind not in KEEP_THE_TEXT:
                return None
        return None

    def concept_file(self, origin: Origin) -> str:
        """Return the name of the null-text concept that this model is, patched or not; "" if it is no such model."""
        for node in self._way(origin, "model"):
            name = node.inputs.get("concept_name")
            if node.kind == CONCEPT and isinstance(name, str):
                return name if _is_null_text_file(name) else ""
        return ""

    def world_of(self, origin: Origin | None, way: str) -> WorldFacts | None:
        """Return the world whose output this is, patched or not; None if it comes from elsewhere, or cannot be read.

        Args:
            way: input by which patches pass it on, "model" or "clip".
        """
        for node in self._way(origin, way):
            name = node.inputs.get("world")
            folder = self.worlds.get(name) if node.kind == STARTER_WORLD and isinstance(name, str) else None
            if folder is not None:
                try:
                    return _facts(folder, (folder / WORLD).stat().st_mtime_ns, (folder / TEXT).stat().st_mtime_ns)
                except (ConceptFileError, OSError):
                    return None
        return None

    def latent_size(self, origin: Origin | None) -> tuple[int, int] | None:
        """Return width and height in pixels of an empty latent; None for other latents."""
        node = self.posted.nodes.get(origin[0], PostedNode()) if origin else PostedNode()
        width, height = (self.value(node, name) for name in ("width", "height"))
        if node.kind != EMPTY_LATENT or not isinstance(width, int) or not isinstance(height, int):
            return None
        return width, height

    def value(self, node: PostedNode, name: str) -> object:
        """Return a widget's value, also if a primitive node supplies it; None if it is unknown before a run."""
        if (origin := node.origin(name)) is None:
            return node.inputs.get(name)
        giver = self.posted.nodes.get(origin[0], PostedNode())
        return giver.inputs.get("value") if giver.kind in PRIMITIVES else None

    def _way(self, origin: Origin | None, name: str) -> Iterator[PostedNode]:
        """Yield the node of an output and those before it, as far as each has one input of this name."""
        for _ in range(MOST_IN_A_ROW):
            if origin is None or origin[0] not in self.posted.nodes:
                return
            yield (node := self.posted.nodes[origin[0]])
            origin = node.origin(name)


def _is_null_text_file(name: str) -> bool:
    """Return whether a concept's file says that it reads no text; False if it cannot be read."""
    try:
        path = concept_path(name)
        return path is not None and _is_null_text(path, os.stat(path).st_mtime_ns)
    except (OSError, ValueError, SafetensorError):  # ValueError: a name with another drive, on Windows
        return False


@functools.lru_cache(maxsize=64)
def _is_null_text(path: str, changed: int) -> bool:
    """``changed`` distinguishes versions of the file."""
    with safe_open(path, framework="pt") as file:
        kind = KINDS.get((file.metadata() or {}).get(KIND_KEY, ""))
    return kind is not None and kind.null_text


@functools.lru_cache(maxsize=8)
def _facts(folder: Path, *changed: int) -> WorldFacts:
    """Read a world's facts; ``changed`` distinguishes versions of its files."""
    page, words = read_world_page(folder), read_text_encoder(folder / TEXT).tokenizer
    return WorldFacts(page.title or folder.name, page.resolution, words, bool(page.vae))
