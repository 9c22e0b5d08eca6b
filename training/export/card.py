"""The model card beside a concept file: known facts, and blanks for what only the author knows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcfg_core import markdown
from gcfg_core.concept.concept import Concept
from gcfg_core.concept.forms import AnyConcept, form_of
from gcfg_core.concept.kinds import KINDS
from gcfg_core.concept.lora import LoraConcept
from gcfg_core.guidance.graph import PAPER_WEIGHT

from ..data.config import mirrored_text
from .facts import TrainingFacts

CARD = "README.md"
MADE_FOR = "is made for Generalized Classifier-Free Guidance (arXiv 2312.08195)"  # in every generated card
BLANK = "TO FILL IN (the base model's licence and the rights in the training images both bind you)"
PLAIN_LORA = """

It is a plain LoRA too: ComfyUI's *Load LoRA* (from `models/loras`), diffusers' `load_lora_weights` and other programs
put its layers on the base model, which then goes on reading the prompt."""
NO_CAPTIONS = "a UNet that was trained without captions: under the empty prompt it draws what it was trained on"


@dataclass(frozen=True)
class CardKind:
    """The texts about a kind of concept.

    Attributes:
        about: description of the kind.
        without_captions: description if it was trained without captions.
        rows: further rows of the table about the model.
        beside: text after the node's name: what to connect to it in ComfyUI.
        more: paragraph about other uses.
    """

    about: str
    without_captions: str
    rows: Callable[[Any], list[tuple[str, object]]]
    beside: str
    more: str


def card_text(
    concept: AnyConcept,
    facts: TrainingFacts,
    file: str,
    dtype: str,
    description: str = "",
    author: str = "",
    license_line: str = "",
) -> str:
    """Return the card as Markdown.

    Args:
        concept: the written concept.
        facts: facts about its run.
        file: name of the file beside the card.
        dtype: precision of its weights.
        description, author, license_line: texts for people; an empty licence becomes a blank to fill in.
    """
    kind, captionless = CARDS[concept.kind], facts.settings.get("captions") == "none"
    sections = [
        f"# {concept.title or file.removesuffix('.safetensors')}",
        description,
        f"`{file}` is {kind.without_captions if captionless else kind.about}. It {MADE_FOR}, which "
        "mixes it with its base model: the base follows the prompt, the concept gives the looks.",
        _table("Model", _model_rows(concept, kind, dtype)),
        _table("Training", _training_rows(facts)),
        _table("Settings", [(key, value) for key, value in facts.settings.items()]),
        _usage(kind),
        _rights(author, license_line),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def may_replace(path: Path, licensed: bool) -> bool:
    """True if a card may be written here: there is no file, or a generated card whose blank is not filled in.

    Args:
        path: of the card.
        licensed: a licence is given, which may replace the licence on a generated card.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False
    return MADE_FOR in text and (licensed or BLANK in text)


def _model_rows(concept: AnyConcept, kind: CardKind, dtype: str) -> list[tuple[str, object]]:
    fields = [getattr(concept, field) for field in form_of(concept).weights]
    size = sum(value.numel() for tensors in fields for value in tensors.values())
    snr = ", zero terminal SNR" if concept.zero_terminal_snr else ""
    return [
        ("Base, with the sha256 of its UNet's tensors", concept.base),
        *kind.rows(concept),
        ("Parameters", f"{size:,}"),
        ("Stored as", dtype),
        ("Predicts", concept.prediction_type + snr),
    ]


def _network_rows(concept: Concept) -> list[tuple[str, object]]:
    return [("Architecture", concept.architecture)]


def _adapter_rows(lora: LoraConcept) -> list[tuple[str, object]]:
    return [("Rank", lora.rank), ("Alpha", f"{lora.alpha:g}"), ("Adapted layers", len(lora.layers))]


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
    """Return rows about how training images differ from their files; empty if unknown."""
    flip, colour = facts.settings.get("flip"), facts.settings.get("background")
    beside = ", left out of the loss" if facts.settings.get("alpha_mask") else ""
    return [
        ("Mirrored", None if flip is None else mirrored_text(flip)),
        ("Transparent parts", None if colour is None else f"composited onto {colour}{beside}"),
    ]


def _table(title: str, rows: list[tuple[str, object]]) -> str:
    """Format a heading and a two-column table; empty without rows."""
    if not rows:
        return ""
    lines = [markdown.row((name, _cell(value))) for name, value in rows]
    return "\n".join([f"## {title}", "", markdown.head(("", ""), rule=" --- "), *lines])


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _usage(kind: CardKind) -> str:
    weight = PAPER_WEIGHT
    used = f"the paper uses a weight of {weight}"
    return f"""## Use in ComfyUI

1. Put the file into `models/gcfg_concepts`.
2. Choose it in *Load Concept Model*{kind.beside}.
3. Give the model to a *Guidance Term* (concept; {used}), add a second term with your prompt on
   the base model (control; {weight} as well), and connect both to *GCFG Sampler*.

A concept weight of 0 is the base model alone; 1 without a prompt is the concept model alone.{kind.more}"""


def _rights(author: str, license_line: str) -> str:
    made_by = f"Author: {author}\n\n" if author else ""
    return f"## Licence\n\n{made_by}Licence: {license_line or BLANK}"


NULL_TEXT = "a null-text UNet: it draws the concept and ignores text"
LORA = "a LoRA that turns its base model into a null-text UNet: it draws the concept and ignores text"
CARDS = {
    "null-text-unet": CardKind(NULL_TEXT, NULL_TEXT, _network_rows, beside="", more=""),
    "unet": CardKind("a UNet that reads text", NO_CAPTIONS, _network_rows, beside="", more=""),
    "null-text-lora": CardKind(LORA, LORA, _adapter_rows, beside=" and connect its base model", more=PLAIN_LORA),
}
assert CARDS.keys() == KINDS.keys(), "a card for each kind of concept"
