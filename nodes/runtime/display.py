"""What a graph means and costs, as text in the log and on the node."""

from __future__ import annotations

import torch

from ...gcfg_core.formula import cost, formula, most_evaluations
from ...gcfg_core.plan import Plan
from ...gcfg_core.schedule import Progress


def graph_text(plan: Plan, sigmas: torch.Tensor | None = None) -> str:
    """The formula and the cost, over ``sigmas`` [steps + 1] where they are known."""
    progress = Progress(plan.models[0].get_model_object("model_sampling").percent_to_sigma)
    if sigmas is None:
        price = f"at most {most_evaluations(plan)} evaluations per sampler call"
    else:
        price = cost(plan, sigmas[:-1].tolist(), progress)
    return f"{formula(plan)}\n{price}, {len(plan.models)} model(s)"


def show_on_node(text: str, node_id: str | None) -> None:
    """Show text on the running node, before its work begins; nothing where there is no server (tests, scripts)."""
    import server  # the host's module exists only inside a ComfyUI process

    instance = getattr(server.PromptServer, "instance", None)
    if instance is not None and node_id is not None:
        instance.send_progress_text(text, node_id)
