"""Clones of one model that share its network, and separately loaded models for comparison."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rigs.graphs import SIGMAS, points
from rigs.lora import lora_file, with_lora
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised

Change = Callable[[Any, Any], Any]


def plain(pack: Any, model: Any) -> Any:
    return model


def lora(seed: int, strength: float = 1.0) -> Change:
    return lambda pack, model: with_lora(model, seed, strength)


def lora_node(pack: Any, model: Any) -> Any:
    """Load a LoRA file with ComfyUI's own loader node."""
    name = lora_file(model, 8).name
    return pack.run("LoraLoaderModelOnly", model=model, lora_name=name, strength_model=0.7)[0]


def v_prediction(pack: Any, model: Any) -> Any:
    return pack.run("ModelSamplingDiscrete", model=model, sampling="v_prediction", zsnr=True)[0]


def compute_dtype(name: str) -> Change:
    """Apply ComfyUI's node Model Compute Dtype."""
    return lambda pack, model: pack.run("ModelComputeDtype", model=model, dtype=name)[0]


def both(*changes: Change) -> Change:
    def change(pack: Any, model: Any) -> Any:
        for one in changes:
            model = one(pack, model)
        return model

    return change


GRAPHS: dict[str, tuple[Change, list[Change]]] = {
    "base and LoRA": (plain, [lora(1)]),
    "LoRA node": (plain, [lora_node]),
    "two LoRAs on one base": (plain, [lora(1), lora(2, -0.6)]),
    "LoRA base, plain term": (lora(1), [plain]),
    "LoRA base, other LoRA": (lora(1), [lora(2)]),
    "LoRA base, more LoRA": (lora(1), [both(lora(1), lora(2))]),
    "other model_sampling": (plain, [v_prediction]),
    "model_sampling on the base": (v_prediction, [plain]),
    "model_sampling and LoRA": (both(lora(1), v_prediction), [plain, lora(2), v_prediction]),
}
"""The changes to the base model, and to the model of every term; all are clones of one model."""


def variants(pack: Any, graph: str, model: Any) -> tuple[Any, list]:
    """Return the base of a graph and its terms' models, made of one model."""
    on_base, on_terms = GRAPHS[graph]
    return on_base(pack, model), [change(pack, model) for change in on_terms]


def separate_variants(pack: Any, graph: str, make: Callable[[], Any] = micro_model) -> tuple[Any, list]:
    """Do the same, with a separate model for each."""
    on_base, on_terms = GRAPHS[graph]
    return on_base(pack, make()), [change(pack, make()) for change in on_terms]


def terms_of(models: list) -> list[dict[str, Any]]:
    return [
        {"model": model, "positive": micro_cond(10 + i), "reference": micro_cond(20), "weight": 1.5 - i}
        for i, model in enumerate(models)
    ]


def expected_sum(base: Any, models: list) -> list[Tensor]:
    """Compute the graph of ``terms_of`` from separate evaluations by ComfyUI; the reference is on the base model."""
    out = []
    for x, sigma in zip(points(), SIGMAS, strict=True):
        total = denoised(base, micro_cond(0), x, sigma).double()
        reference = denoised(base, micro_cond(20), x, sigma).double() if models else total
        for i, model in enumerate(models):
            total = total + (1.5 - i) * (denoised(model, micro_cond(10 + i), x, sigma).double() - reference)
        out.append(total.float())
    return out


def state_of(model: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.model.state_dict().items()}


def assert_same_state(model: Any, before: dict[str, Tensor]) -> None:
    after = model.model.state_dict()
    assert after.keys() == before.keys()
    changed = [name for name in before if not torch.equal(after[name], before[name])]
    assert not changed, f"{len(changed)} tensors changed, such as {changed[:2]}"
