"""The content of the nodes' panels before a run: the curve of a term, the formula and cost of a guider."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from typing import Any

from comfy_api.latest import io

from ...gcfg_core.guidance.cost import Phase, evaluation_phases, most_evaluations
from ...gcfg_core.guidance.coverage import WHOLE
from ...gcfg_core.guidance.formula import formula_lines
from ...gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from ...gcfg_core.guidance.hook_needs import NO_NEEDS, HookNeeds
from ...gcfg_core.guidance.plan import Plan, compile_plan
from ...gcfg_core.guidance.sweep import Settings, lay_out_sweep
from ...gcfg_core.trace.table import count
from ..guidance_term import GuidanceTermNode
from ..guider import base_inputs, rescale_input, terms_input
from ..sampling.announce import CFG_PP, WITH_BOTH_SIDES
from ..sweep import axis_inputs
from .chains import Chains, NotKnownYet
from .hints import Hints
from .posted import Posted, PostedNode
from .sources import Sources
from .stand_ins import ConditionStandIn, UnknownWeight

GUIDERS = ("GCFG_Guider", "GCFG_Sampler")
SWEEP = "GCFG_Sweep"
TERM = "GCFG_GuidanceTerm"


def describe(posted: Posted, node_id: str) -> dict[str, Any]:
    """Return the content of this node's panel.

    Returns:
        for a Guidance Term {"curve": [[percent, weight], ...]}; for a guider or sweep {"formula": [line, ...] with the
        prompts' first words, "formula_of_run": the same without them, "cost", "models", "hints"}, for a guider also
        {"evaluations": [[start, end, number], ...]}; with "notes" if something was assumed. Or {"waits": why it is not
        known yet}, or {"error": what is wrong and what to do}.
    """
    kind = posted.nodes.get(node_id, PostedNode()).kind
    try:
        if kind == TERM:
            return _describe_term(posted, node_id)
        if kind in GUIDERS:
            return _describe_guider(posted, node_id)
        if kind == SWEEP:
            return _describe_sweep(posted, node_id)
    except NotKnownYet as reason:
        return {"waits": _on_the_node(reason, posted, node_id)}
    except ValueError as error:
        return {"error": _on_the_node(error, posted, node_id)}
    return {"error": f"{posted.name(node_id)}: only {TERM}, {', '.join(GUIDERS)} and {SWEEP} are described."}


def _on_the_node(reason: Exception, posted: Posted, node_id: str) -> str:
    """Return the message without the node's own name, which the node itself need not show."""
    return str(reason).removeprefix(f"{posted.name(node_id)}: ")


def _describe_term(posted: Posted, node_id: str) -> dict[str, Any]:
    chains = Chains(posted)
    own = [widget for widget in GuidanceTermNode.GET_SCHEMA().inputs if isinstance(widget, io.WidgetInput)]
    arguments = chains.arguments(node_id, own)
    try:
        term: GuidanceTerm = GuidanceTermNode.execute(**arguments).args[0][-1]
    except ValueError as error:
        raise ValueError(f"{posted.name(node_id)}: {error}") from None
    if isinstance(term.weight, UnknownWeight):
        raise NotKnownYet(chains.notes[0])
    curve = [[round(percent, 6), round(weight, 6)] for percent, weight in term.weight_profile()]
    if not all(math.isfinite(weight) for _, weight in curve):
        raise ValueError(f"{posted.name(node_id)}: keyframes: the weight is too large to compute; use smaller factors.")
    return {"curve": curve, "notes": chains.notes}


def _describe_guider(posted: Posted, node_id: str) -> dict[str, Any]:
    chains = Chains(posted)
    own = chains.arguments(node_id, [*base_inputs(), terms_input(), rescale_input()])
    plan = _plan(own, own.get("terms", ()), own["rescale"])
    phases = evaluation_phases(plan, _hooks(posted.nodes[node_id]))
    return {
        "evaluations": [[phase.start, phase.end, phase.evaluations] for phase in phases],
        **_shown(chains, node_id, plan, _cost(plan, phases)),
    }


def _describe_sweep(posted: Posted, node_id: str) -> dict[str, Any]:
    chains, hooks = Chains(posted), _hooks(posted.nodes[node_id])
    own = chains.arguments(node_id, [*base_inputs(), *axis_inputs(), terms_input(), rescale_input()])
    wired = Settings(own.get("terms", ()), own["rescale"])
    sweep = lay_out_sweep(wired, own["columns"], own.get("rows"))
    most = max(most_evaluations(_plan(own, cell.terms, cell.rescale), hooks) for cell in sweep.cells)
    cost = f"{count(len(sweep.cells), 'picture')}, at most {count(most, 'evaluation')} per step"
    return _shown(chains, node_id, _plan(own, wired.terms, wired.rescale), cost, sweep.weights)


def _plan(own: dict[str, Any], terms: tuple[GuidanceTerm, ...], rescale: float) -> Plan:
    """Compile the plan of a node with a model and a condition, with these terms."""
    graph = GuidanceGraph(Side(own["model"], own["conditioning"]), terms, rescale)
    return compile_plan(
        graph, reach_of=lambda condition: condition.reach if isinstance(condition, ConditionStandIn) else WHOLE
    )


def _shown(chains: Chains, node_id: str, plan: Plan, cost: str, swept: Collection[int] = ()) -> dict[str, Any]:
    """Return formula, cost and hints of a guider. ``swept``: terms whose weight a sweep changes."""
    unknown = {i for i, term in enumerate(plan.terms) if isinstance(term.weight, UnknownWeight)}
    sources = Sources(chains.posted)
    prompts = [_prompt_text(sources, one.condition) for one in plan.predictions]
    return {
        "formula": formula_lines(plan, unknown.union(swept), prompts),
        "formula_of_run": " ".join(formula_lines(plan, unknown.union(swept))),
        "cost": f"{cost}, {count(len(plan.models), 'model')}",
        "models": len(plan.models),
        "notes": chains.notes,
        "hints": _hints(chains.posted, sources, node_id, plan, swept),
    }


def _prompt_text(sources: Sources, condition: object) -> str:
    prompt = sources.prompt_of(condition.origin) if isinstance(condition, ConditionStandIn) else None
    return "" if prompt is None else prompt.text


def _hints(posted: Posted, sources: Sources, node_id: str, plan: Plan, swept: Collection[int]) -> list[str]:
    try:
        return Hints(posted, sources, node_id, plan, swept).all()
    except Exception:  # a hint is never worth the formula
        logging.exception("GCFG: no hints on %s", posted.name(node_id))
        return []


def _hooks(node: PostedNode) -> HookNeeds:
    """Return the needs of a GCFG Sampler's sampler; those of hooks on the model are known only in a run."""
    name = node.inputs.get("sampler_name")
    return WITH_BOTH_SIDES if isinstance(name, str) and CFG_PP in name else NO_NEEDS


def _cost(plan: Plan, phases: list[Phase]) -> str:
    """Write the cost: "3 evaluations per step (2 from 0% to 30%)"."""
    most = max(phase.evaluations for phase in phases)
    fewer = [
        f"{phase.evaluations} from {phase.start:.0%} to {phase.end:.0%}" for phase in phases if phase.evaluations < most
    ]
    at_most = "at most " if any(term.may_reuse(1) for term in plan.terms) else ""
    rest = f" ({', '.join(fewer)})" if fewer else ""
    return f"{at_most}{count(most, 'evaluation')} per step{rest}"
