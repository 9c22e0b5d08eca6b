"""The model card beside a concept file: only what is known, and blanks for what its author must say."""

from pathlib import Path

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.lora import LoraConcept
from gcfg_core.guidance.graph import PAPER_WEIGHT

from ..data.mirroring import mirrored_text
from .facts import TrainingFacts

CARD = "README.md"
MADE_FOR = "is made for Generalized Classifier-Free Guidance (arXiv 2312.08195)"  # in every card of ours
BLANK = "TO FILL IN (the base model's licence and the rights in the training images both bind you)"
KINDS = {
    "null-text-unet": "a null-text UNet: it draws the concept and ignores text",
    "unet": "a UNet that reads text",
    "null-text-lora": "a LoRA that turns its base model into a null-text UNet: it draws the concept and ignores text",
}

PLAIN_LORA = """

It is a plain LoRA too: ComfyUI's *Load LoRA* (from `models/loras`), diffusers' `load_lora_weights` and other programs
put its layers on the base model, which then goes on reading the prompt."""
NO_CAPTIONS = "a UNet that was trained without captions: under the empty prompt it draws what it was trained on"


def card_text(
    concept: Concept | LoraConcept,
    facts: TrainingFacts,
    file: str,
    dtype: str,
    description: str = "",
    author: str = "",
    license_line: str = "",
) -> str:
    """The card as Markdown.

    Args:
        concept: what was written.
        facts: about its run.
        file: name of the file beside the card.
        dtype: of its weights.
        description, author, license_line: for people; a blank to fill in where the last is empty.
    """
    kind = concept.kind if isinstance(concept, Concept) else "null-text-lora"
    sections = [
        f"# {concept.title or file.removesuffix('.safetensors')}",
        description,
        f"`{file}` is {_what(kind, facts)}. It {MADE_FOR}, which "
        "mixes it with its base model: the base follows the prompt, the concept gives the looks.",
        _table("Model", _model_rows(concept, dtype)),
        _table("Training", _training_rows(facts)),
        _table("Settings", [(key, value) for key, value in facts.settings.items()]),
        _usage(kind),
        _rights(author, license_line),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def may_replace(path: Path, licensed: bool) -> bool:
    """Whether a card may be written here: nothing is there, or one of ours whose blank nobody has filled in.

    Args:
        path: of the card.
        licensed: a licence is given now; it may replace the one on a card of ours.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False
    return MADE_FOR in text and (licensed or BLANK in text)


def _what(kind: str, facts: TrainingFacts) -> str:
    """The kind in words; a model that reads text may have been trained without any."""
    return NO_CAPTIONS if kind == "unet" and facts.settings.get("captions") == "none" else KINDS[kind]


def _model_rows(concept: Concept | LoraConcept, dtype: str) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [("Base, with the sha256 of its UNet's tensors", concept.base)]
    if isinstance(concept, Concept):
        size = sum(value.numel() for value in concept.tensors.values())
        rows.append(("Architecture", concept.architecture))
    else:
        size = sum(value.numel() for value in (*concept.factors.values(), *concept.features.values()))
        rows += [("Rank", concept.rank), ("Alpha", f"{concept.alpha:g}"), ("Adapted layers", len(concept.layers))]
    snr = ", zero terminal SNR" if concept.zero_terminal_snr else ""
    rows += [("Parameters", f"{size:,}"), ("Stored as", dtype), ("Predicts", concept.prediction_type + snr)]
    return rows


def _training_rows(facts: TrainingFacts) -> list[tuple[str, object]]:
    rows = [
        ("Images", facts.images),
        ("Pictures and captions, sha256", facts.dataset_sha256),
        ("Resolution", facts.resolution),
        *_altered_rows(facts),
        ("Steps", facts.steps),
        ("Weights", f"average {facts.ema}" if facts.ema else None),
        ("Seed", facts.seed),
    ]
    return [(name, value) for name, value in rows if value is not None]


def _altered_rows(facts: TrainingFacts) -> list[tuple[str, object]]:
    """How the images were trained on otherwise than they look; nothing where that is not known."""
    flip, colour = facts.settings.get("flip"), facts.settings.get("background")
    beside = ", left out of the loss" if facts.settings.get("alpha_mask") else ""
    return [
        ("Mirrored", None if flip is None else mirrored_text(flip)),
        ("Transparent parts", None if colour is None else f"composited onto {colour}{beside}"),
    ]


def _table(title: str, rows: list[tuple[str, object]]) -> str:
    """A heading and a table of two columns; nothing without rows."""
    if not rows:
        return ""
    lines = [f"| {name} | {_cell(value)} |" for name, value in rows]
    return "\n".join([f"## {title}", "", "| | |", "| --- | --- |", *lines])


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _usage(kind: str) -> str:
    is_lora = kind == "null-text-lora"
    base, weight = " and connect its base model" if is_lora else "", PAPER_WEIGHT
    return f"""## Use in ComfyUI

1. Put the file into `models/gcfg_concepts`.
2. Choose it in *Load Concept Model*{base}.
3. Give the model to a *Guidance Term* (concept; the paper uses a weight of {weight}), add a second term with your prompt on
   the base model (control; {weight} as well), and connect both to *GCFG Sampler*.

A concept weight of 0 is the base model alone; 1 without a prompt is the concept model alone.{PLAIN_LORA * is_lora}"""


def _rights(author: str, license_line: str) -> str:
    made_by = f"Author: {author}\n\n" if author else ""
    return f"## Licence\n\n{made_by}Licence: {license_line or BLANK}"
