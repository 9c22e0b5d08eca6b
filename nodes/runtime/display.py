"""What a graph means and costs, as text in the log and on the node."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ...gcfg_core.formula import cost, formula, most_evaluations
from ...gcfg_core.hook_needs import HookNeeds
from ...gcfg_core.plan import Plan
from ...gcfg_core.schedule import Progress
from ...gcfg_core.trace_table import count
from .result_hooks import hook_needs

if TYPE_CHECKING:
    import torch

CFG_PP = "cfg_pp"
"""In the name of every sampler of ComfyUI that asks for the unconditional prediction at any weight (CFG++)."""


def announce(plan: Plan, sigmas: torch.Tensor | None = None, sampler_name: str = "") -> str:
    """Tell the log, before the work begins, what the graph means and costs; returns the text, for the node.

    Args:
        sigmas: [steps + 1], where they are known.
    """
    text = f"{formula(plan)}\n{_price(plan, sigmas, sampler_name)}, {count(len(plan.models), 'model')}"
    logging.info("GCFG: %s", text)
    return text


def _price(plan: Plan, sigmas: torch.Tensor | None, sampler_name: str) -> str:
    base: Any = plan.models[0]
    hooks = hook_needs(base.model_options)
    with_both_sides = HookNeeds(are_used=True, want_both_sides=True)
    if sigmas is None:
        most, with_cfg_pp = most_evaluations(plan, hooks), most_evaluations(plan, with_both_sides)
        note = "" if most == with_cfg_pp else f" ({with_cfg_pp} under CFG++ samplers)"
        return f"at most {count(most, 'evaluation')} per sampler call{note}"
    if CFG_PP in sampler_name:
        hooks = with_both_sides
    progress = Progress(base.get_model_object("model_sampling").percent_to_sigma)
    return f"{cost(plan, sigmas[:-1].tolist(), progress, hooks)} at one a step"


def show_on_node(text: str, node_id: str | None) -> None:
    """Nothing where there is no server (tests, scripts)."""
    import server  # the host's module exists only inside a ComfyUI process

    instance = getattr(server.PromptServer, "instance", None)
    if instance is not None and node_id is not None:
        instance.send_progress_text(text, node_id)
