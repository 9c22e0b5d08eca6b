"""Kind null-text-lora: LoRA adapters learn beside the frozen layers of the base's null-text UNet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from gcfg_core.concept.forms import AnyConcept
from gcfg_core.concept.lora import DOWN, UP, LoraConcept, check_lora_concept
from gcfg_core.concept.lora_file import is_lora_concept, read_lora_concept
from gcfg_core.concept.null_text import FEATURE
from gcfg_core.concept.tensor_check import missing_or_misshapen
from gcfg_core.errors import ConceptFileError, InputError

from ..base.model import Base
from ..export.concept import lora_concept_of
from ..export.facts import TrainingFacts
from ..seeds import seed_of
from ..settings.config import LORA_TARGETS, ModelConfig, RunConfig
from .checks import GIVE, check_start
from .network import Network
from .null_text import NULL_TEXT, PREPARE, NullText, learn_constants, null_text_unet, read_null_text


class NullTextLora(NullText):
    """Kind null-text-lora. A start holds the constants, and also LoRA factors (PEFT's names) if it is a LoRA."""

    def read_start(self, start: str, base: Base, model: ModelConfig) -> dict[str, Tensor]:
        try:
            lora = read_lora_concept(Path(start)) if is_lora_concept(start) else None
        except (ConceptFileError, OSError) as error:
            raise InputError("start", NULL_TEXT, str(error), PREPARE) from None
        if lora is not None:
            return _lora_start(lora, base, model)
        tensors = read_null_text(start, base)
        return {key: value.float() for key, value in tensors.items() if key.endswith(FEATURE)}

    def network(self, base: Base, start: Mapping[str, Tensor], config: RunConfig) -> Network:
        factors = {key: value for key, value in start.items() if key.endswith((DOWN, UP))}
        constants = {key: value for key, value in start.items() if key not in factors}
        unet = null_text_unet(base, constants).requires_grad_(False)
        _add_adapters(unet, config.model, config.loop.seed)
        _start_adapters(unet, factors)
        learn_constants(unet, config.model.train_constant)
        return Network(unet, base.null)

    def concept(
        self, base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, model: Mapping[str, Any], title: str
    ) -> AnyConcept:
        return _concept(base, state, facts, model, title)

    def check(self, state: Mapping[str, Tensor], base: Base, model: Mapping[str, Any], name: str) -> None:
        check_lora_concept(_concept(base, state, TrainingFacts(), model), name, GIVE)


def _concept(
    base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, model: Mapping[str, Any], title: str = ""
) -> LoraConcept:
    rank = int(model["lora_rank"])
    return lora_concept_of(base, state, facts, rank=rank, alpha=float(model.get("lora_alpha") or rank), title=title)


def _add_adapters(unet: nn.Module, model: ModelConfig, seed: int) -> None:
    """Freeze the network and add adapters to its layers. Their initial values depend only on the seed."""
    adapters = LoraConfig(
        r=model.lora_rank,
        lora_alpha=model.lora_alpha or model.lora_rank,  # type: ignore[arg-type]
        target_modules=list(model.lora_targets),
        init_lora_weights=True,
    )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "adapters"))
            inject_adapter_in_model(adapters, unet)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            "lora_targets", "endings of layers' names", reason, f"The default is {' '.join(LORA_TARGETS)}."
        ) from None


def _start_adapters(unet: nn.Module, factors: Mapping[str, Tensor]) -> None:
    """Load another run's factors into the adapters; do nothing if there are none."""
    if not factors:
        return
    own = {name.replace(".default.", "."): value for name, value in unet.named_parameters() if ".lora_" in name}
    odd = sorted(set(factors) - set(own)) or missing_or_misshapen(
        factors, {key: tuple(value.shape) for key, value in own.items()}
    )
    if odd:
        raise InputError("start", "a LoRA of these lora_targets and this lora_rank", f"a difference at {odd[0]}",
                         "Give the settings that the LoRA was trained with.")  # fmt: skip
    for name, value in own.items():
        value.data.copy_(factors[name])


def _lora_start(lora: LoraConcept, base: Base, model: ModelConfig) -> dict[str, Tensor]:
    """Return the constants and the factors, rescaled to have the same effect at this run's alpha."""
    check_start(lora.with_tensors({}), base)
    ratio = lora.scale / ((model.lora_alpha or model.lora_rank) / model.lora_rank)
    factors = {key: value.float() * (ratio if key.endswith(UP) else 1.0) for key, value in lora.factors.items()}
    return {**factors, **{key: value.float() for key, value in lora.features.items()}}
