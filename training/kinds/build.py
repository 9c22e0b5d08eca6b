"""From a base model to the network that a run trains."""

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.lora import DOWN, UP, LoraConcept
from gcfg_core.concept.lora_file import is_lora_concept, read_lora_concept
from gcfg_core.concept.null_text import FEATURE, remove_text_attention
from gcfg_core.errors import ConceptFileError, InputError

from ..base.model import NAME_TOKENIZER, Base
from ..console.program import PROGRAM
from ..seeds import seed_of
from ..settings.config import LORA_TARGETS, ModelConfig
from .network import Network
from .start_check import check_start

NULL_TEXT, PREPARE = "a null-text file", f"Make one with `{PROGRAM} prepare`."


def null_text_network(base: Base, start: Mapping[str, Tensor], config: ModelConfig, seed: int) -> Network:
    """A network that reads no text; changes the base's UNet in place.

    Args:
        base: the base model.
        start: tensors of the null-text UNet by name, the constants at least; the rest stays the base's. For a LoRA also
            the factors to start from, in PEFT's names.
        config: whether the constants learn, and for a LoRA the size of its adapters.
        seed: of the adapters' first values.

    Raises:
        InputError: `start` is not of this base, or no layer has a name that `lora_targets` asks for.
    """
    unet = remove_text_attention(base.unet)
    factors = {key: value for key, value in start.items() if key.endswith((DOWN, UP))}
    start = {key: value for key, value in start.items() if key not in factors}
    if set(start) - set(unet.state_dict()) or not _constants(unet) <= set(start):
        odd = sorted(set(start) ^ _constants(unet))[0]
        raise InputError("start", "the constants of this base's layers", f"a difference at {odd}",
                         "Prepare it from this very base.")  # fmt: skip
    for name, value in unet.state_dict().items():
        if name in start and start[name].shape != value.shape:
            raise InputError("start", f"{name} of shape {list(value.shape)}", f"shape {list(start[name].shape)}",
                             "Prepare it from this very base.")  # fmt: skip
    unet.load_state_dict(dict(start), strict=False)
    lora = config.kind == "null-text-lora"
    unet.requires_grad_(not lora)
    if lora:
        _add_adapters(unet, config, seed)
        _start_adapters(unet, factors)
    for name, parameter in unet.named_parameters():
        if name.endswith(FEATURE):
            parameter.requires_grad_(config.train_constant)
    return Network(unet, base.null)


def _constants(unet: nn.Module) -> set[str]:
    return {name for name, _ in unet.named_parameters() if name.endswith(FEATURE)}


def _add_adapters(unet: nn.Module, config: ModelConfig, seed: int) -> None:
    """Freeze the network and put adapters beside its layers; their first values depend on the seed alone."""
    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or config.lora_rank,  # type: ignore[arg-type]
        target_modules=list(config.lora_targets),
        init_lora_weights=True,
    )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "adapters"))
            inject_adapter_in_model(adapters, unet)
    except ValueError as error:
        told = " ".join(str(error).split())
        raise InputError(
            "lora_targets", "ends of layers' names", told, f"The usual ones are {' '.join(LORA_TARGETS)}."
        ) from None


def _start_adapters(unet: nn.Module, factors: Mapping[str, Tensor]) -> None:
    """Put the factors of another run into the adapters, where there are any."""
    if not factors:
        return
    own = {name.replace(".default.", "."): value for name, value in unet.named_parameters() if ".lora_" in name}
    odd = [key for key in sorted({*own, *factors}) if key not in own or key not in factors]
    odd += [key for key in own if key in factors and own[key].shape != factors[key].shape]
    if odd:
        raise InputError("start", "a LoRA of these lora_targets and this lora_rank", f"a difference at {odd[0]}",
                         "Give the settings that it was trained with.")  # fmt: skip
    for name, value in own.items():
        value.data.copy_(factors[name])


def text_network(base: Base, reads_captions: bool, train_text: bool) -> Network:
    """A network with its cross-attention; everything in the UNet learns.

    Args:
        base: the base model.
        reads_captions: False: it always gets the empty prompt's condition.
        train_text: the text encoder learns too.

    Raises:
        InputError: captions or `train_text` and a base without text encoder, or one that cannot be trained.
    """
    if (reads_captions or train_text) and base.text is None:
        raise InputError("captions", "a base with tokenizer and text encoder", "a UNet alone",
                         f"{NAME_TOKENIZER}, or train without captions.")  # fmt: skip
    if train_text and not (reads_captions and isinstance(base.text, nn.Module)):
        got = "one that cannot be" if reads_captions else "no captions"
        raise InputError("train_text", "captions, and a text encoder that can be trained", got,
                         "Only worlds of your own have one; leave it out.")  # fmt: skip
    base.unet.requires_grad_(True)
    if train_text:
        base.text.requires_grad_(True)  # type: ignore[union-attr]
    return Network(base.unet, base.null, base.text if reads_captions else None, train_text, null_text=False)


def read_start(path: Path, base: Base, config: ModelConfig) -> dict[str, Tensor]:
    """Tensors of a null-text file, from `prepare` or a run; for a LoRA, which builds on the base, its constants alone.

    A LoRA can start from another LoRA: then its factors are among them, scaled so that they have the same effect at
    this run's alpha.

    Raises:
        InputError: it cannot be read, is no null-text file, or is another base's.
    """
    lora = config.kind == "null-text-lora"
    try:
        if lora and is_lora_concept(path):
            return _lora_start(read_lora_concept(path), base, config)
        concept = read_concept(path)
    except (ConceptFileError, OSError) as error:
        raise InputError("start", NULL_TEXT, str(error), PREPARE) from None
    if not concept.null_text:
        raise InputError("start", NULL_TEXT, concept.kind, PREPARE)
    check_start(concept, base)
    return {key: value.float() for key, value in concept.tensors.items() if not lora or key.endswith(FEATURE)}


def _lora_start(lora: LoraConcept, base: Base, config: ModelConfig) -> dict[str, Tensor]:
    check_start(lora.with_tensors({}), base)
    ratio = lora.scale / ((config.lora_alpha or config.lora_rank) / config.lora_rank)
    factors = {key: value.float() * (ratio if key.endswith(UP) else 1.0) for key, value in lora.factors.items()}
    return {**factors, **{key: value.float() for key, value in lora.features.items()}}
