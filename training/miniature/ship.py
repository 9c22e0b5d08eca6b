"""Copy the trained models into the pack's starter folder, each with its card."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gcfg_core import markdown
from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import read_concept, write_concept

from ..durable import write_bytes
from .recipe import LICENSE
from .settings import KEPT, PIXEL, TOON, TUNED

RESULTS = Path("results", "results.md")  # in the starter folder, written by the command `report`
CHOSEN = {name: f"{name}@{steps}" for name, steps in KEPT.items()}
MEASURED = {
    "world": "what it obeys, and how far it is from the concept *toon*",
    TOON: "how near it comes to held-out drawings, alone and in graphs",
    PIXEL: "only in graphs with *toon*",
    TUNED: "how near it comes to held-out drawings, and what it obeys",
}
ABOUT = {
    "world": "The open world: faces in six styles, thumbs, shapes and rings, with captions. UNet, text encoder and the "
    "words it knows; pixels are its latents, two by two. Load Starter World gives it as MODEL, CLIP and VAE.",
    TOON: "A null-text concept model: the look of Toon Head, learned from 1500 drawings without captions. It reads no "
    "text. For Load Concept Model, mixed with the starter world.",
    PIXEL: "A null-text concept model: the look of Pixel Art, learned from 1500 drawings without captions. It reads no "
    "text. For Load Concept Model, mixed with the starter world.",
    TUNED: "The starter world's UNet fine-tuned on the drawings of *toon* with their captions: what a concept is "
    "compared with. It reads prompts, through the starter world's text encoder.",
}


def ship(trained: Path, starter: Path) -> None:
    """Copy the chosen models and write their cards; an existing equal model is not touched.

    Args:
        trained: folder with world/ and concepts/NAME@STEPS.safetensors, written by `train`.
        starter: receives world/, concepts/ and a card for each.

    Raises:
        ConceptFileError, OSError: a model cannot be read or written.
    """
    chosen = {name: read_concept(trained / "concepts" / f"{source}.safetensors") for name, source in CHOSEN.items()}
    shutil.copytree(trained / "world", starter / "world", dirs_exist_ok=True)
    _write_card(starter / "world" / "README.md", "world", read_concept(starter / "world" / "unet.safetensors"))
    (starter / "concepts").mkdir(exist_ok=True)
    for name, concept in chosen.items():
        target = starter / "concepts" / f"{name}.safetensors"
        halved = {key: value.half() for key, value in concept.tensors.items()}
        shipped = replace(concept, tensors=halved, title=name, base=chosen[TOON].base)
        if not _holds(target, shipped):
            write_concept(target, shipped)
        _write_card(starter / "concepts" / f"{name}.md", name, read_concept(target))


def _holds(path: Path, concept: Concept) -> bool:
    """True if the file has the same weights from the same training; its date may differ."""
    if not path.is_file():
        return False
    found = read_concept(path)
    return (found.training, found.base) == (concept.training, concept.base) and all(
        torch.equal(value, found.tensors[key]) for key, value in concept.tensors.items()
    )


def _write_card(path: Path, name: str, concept: Concept) -> None:
    run: Mapping[str, Any] = concept.training
    settings: Mapping[str, Any] = run.get("settings", {})
    size = sum(value.numel() for value in concept.tensors.values())
    is_measured = (path.parents[1] / RESULTS).is_file()
    rows = {
        "parameters of the UNet": f"{size:,}",
        "predicts": f"{concept.prediction_type}, zero terminal SNR",
        "trained for": f"{run.get('steps')} steps of {settings.get('batch')} pictures, "
        f"{run.get('images')} different ones of {run.get('resolution')} x {run.get('resolution')} pixels",
        "optimizer": f"{settings.get('optimizer')} at {settings.get('lr'):g}, {settings.get('lr_schedule')}",
        "weights": f"average {run.get('ema')}, fp16",
        "hash of the data": str(run.get("dataset_sha256")),
        "command": "`python -m training.miniature train`",
        "licence": LICENSE,
        "numbers": f"{MEASURED[name]}: [results](../{RESULTS.as_posix()})" if is_measured else "none measured yet",
    }
    table = "\n".join([markdown.head(("", "")), *map(markdown.row, rows.items())])
    write_bytes(path, f"# {name}\n\n{ABOUT[name]}\n\n{table}\n".encode())
