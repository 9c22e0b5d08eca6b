"""Formula and cost of a graph, as text in the log and on the node."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...gcfg_core.guidance.cost import Cost, cost, most_evaluations
from ...gcfg_core.guidance.formula import formula, formula_lines
from ...gcfg_core.guidance.hook_needs import HookNeeds
from ...gcfg_core.guidance.plan import Plan
from ...gcfg_core.guidance.sampling_progress import SamplingProgress
from ...gcfg_core.guidance.sweep import Sweep
from ...gcfg_core.trace.table import count
from ..other_packs.result_hooks import hook_needs

if TYPE_CHECKING:
    import torch

    from .guider import GCFGGuider

CFG_PP = "cfg_pp"
"""In the name of every ComfyUI sampler that needs the unconditional prediction at any weight (CFG++)."""
WITH_BOTH_SIDES = HookNeeds(are_used=True, want_both_sides=True)
"""The needs of those samplers."""


def announce(guider: GCFGGuider, sigmas: torch.Tensor | None = None, sampler_name: str = "") -> str:
    """Log formula and cost of the graph before the work begins; return the text for the node.

    Args:
        sigmas: [steps + 1], if they are known.
    """
    plan = guider.plan
    price = _most(plan) if sigmas is None else f"{_run_cost(plan, sigmas, sampler_name)} at one a step"
    return _told(guider, formula(plan), price)


def announce_sweep(
    guider: GCFGGuider, sweep: Sweep, plans: Sequence[Plan], sigmas: torch.Tensor, sampler_name: str
) -> str:
    """Log formula and cost of a sweep, with a question mark for each weight that changes.

    Args:
        guider: of the graph without the sweep.
        plans: of every picture.
    """
    evaluations = sum(_run_cost(plan, sigmas, sampler_name).evaluations for plan in plans)
    price = f"{count(len(plans), 'picture')}, {count(evaluations, 'evaluation')} in all"
    return _told(guider, " ".join(formula_lines(guider.plan, sweep.weights)), price)


def _told(guider: GCFGGuider, meaning: str, price: str) -> str:
    guider.log_notes()
    text = f"{meaning}\n{price}, {count(len(guider.plan.models), 'model')}"
    logging.info("GCFG: %s", text)
    return text


def _most(plan: Plan) -> str:
    """Write the largest cost of a call, for when the sampler is not known yet."""
    base: Any = plan.models[0]
    most, with_cfg_pp = most_evaluations(plan, hook_needs(base.model_options)), most_evaluations(plan, WITH_BOTH_SIDES)
    note = "" if most == with_cfg_pp else f" ({with_cfg_pp} under CFG++ samplers)"
    return f"at most {count(most, 'evaluation')} per sampler call{note}"


def _run_cost(plan: Plan, sigmas: torch.Tensor, sampler_name: str) -> Cost:
    base: Any = plan.models[0]
    hooks = WITH_BOTH_SIDES if CFG_PP in sampler_name else hook_needs(base.model_options)
    progress = SamplingProgress(base.get_model_object("model_sampling").percent_to_sigma)
    return cost(plan, sigmas[:-1].tolist(), progress, hooks)


def show_on_node(text: str, node_id: str | None) -> None:
    """Show text on the node; do nothing if there is no server (tests, scripts)."""
    import server  # this module of ComfyUI exists only inside its process

    instance = getattr(server.PromptServer, "instance", None)
    if instance is not None and node_id is not None:
        instance.send_progress_text(text, node_id)
