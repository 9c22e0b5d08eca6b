"""Hints on a graph that runs but probably does not do what was meant. They never stop anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...gcfg_core.guidance.plan import BASE, Plan
from .posted import Posted
from .sources import Prompt, concept_file, latent_size, prompt_of, world_of
from .stand_ins import ConditionStandIn, ModelStandIn, UnknownWeight

MOST_WEIGHT = 20.0
"""Sum of the absolute weights above which a hint appears; the paper's graph has 5."""
MOST_WORDS = 8
SHORT = 30


def hints(posted: Posted, node_id: str, plan: Plan) -> list[str]:
    """Return hints on the graph of a guider, the gravest first.

    Args:
        node_id: of the guider, sampler or sweep.
        plan: compiled from stand-ins.
    """
    return [
        *_text_free_base(posted, plan),
        *_prompt_in_the_base(posted, plan),
        *_idle_terms(plan),
        *_size(posted, node_id, plan),
        *_unknown_words(posted, plan),
        *_equal_labels(plan),
        *_total_weight(plan),
    ]


def _idle_terms(plan: Plan) -> Iterator[str]:
    for i, (term, (positive, reference)) in enumerate(zip(plan.terms, plan.sides, strict=True)):
        if positive == reference:
            yield (f"{_name(term.label, i)} compares a prediction with itself and does nothing: connect a model or a "
                   "positive condition to it.")  # fmt: skip


def _equal_labels(plan: Plan) -> Iterator[str]:
    counts = Counter(term.label for term in plan.terms if term.label)
    for label, count in counts.items():
        if count > 1:
            yield f"{count} terms are called {label!r}: give each a label of its own."


def _total_weight(plan: Plan) -> Iterator[str]:
    total = sum(abs(term.weight) for term in plan.terms if not isinstance(term.weight, UnknownWeight))
    if total > MOST_WEIGHT:
        yield f"The weights add up to {total:.4g}; above {MOST_WEIGHT:g} most pictures burn. Try 1 to 7.5 a term."


def _prompt_in_the_base(posted: Posted, plan: Plan) -> Iterator[str]:
    """The base condition has a prompt, and what the terms add has none."""
    base, *others = [_prompt(posted, prediction.condition) for prediction in plan.predictions]
    if base is None or not base.text.strip() or not plan.terms:
        return
    added = [
        one for one, prediction in zip(others, plan.predictions[1:], strict=True)
        if prediction.condition is not plan.predictions[BASE].condition
    ]  # fmt: skip
    if added and all(one is not None and not one.text.strip() for one in added):
        yield (f"The prompt {_short(base.text)} is the base condition, which terms push away from, and the terms have "
               "empty prompts: swap them.")  # fmt: skip


def _text_free_base(posted: Posted, plan: Plan) -> Iterator[str]:
    """Prompts are given to a base model that reads none."""
    model = plan.models[BASE]
    name = concept_file(posted, model.origin) if isinstance(model, ModelStandIn) else ""
    prompts = [_prompt(posted, one.condition) for one in plan.predictions if one.model == BASE]
    if name and any(one is not None and one.text.strip() for one in prompts):
        yield (f"{name} reads no text, so that as the base it ignores the prompt: connect it to a Guidance Term's "
               "model, and a model that reads text here.")  # fmt: skip


def _unknown_words(posted: Posted, plan: Plan) -> Iterator[str]:
    conditions = {id(one.condition): one.condition for one in plan.predictions}.values()
    told: dict[str, list[str]] = {}
    for prompt in filter(None, (_prompt(posted, condition) for condition in conditions)):
        if (world := world_of(posted, prompt.clip, "clip")) is not None:
            told.setdefault(world.title, []).extend(world.words.unknown(prompt.text))
    for title, words in told.items():
        if words:
            yield f"{title!r} was not trained on: {_list(words)}. These words have no meaning there."


def _size(posted: Posted, node_id: str, plan: Plan) -> Iterator[str]:
    model = plan.models[BASE]
    world = world_of(posted, model.origin, "model") if isinstance(model, ModelStandIn) else None
    size = latent_size(posted, posted.nodes[node_id].origin("latent_image"))
    if world is not None and size is not None and max(size) != world.resolution:
        side = world.resolution
        yield (f"The latent is {size[0]} x {size[1]} pixels, but {world.title!r} learned pictures of {side} x {side}: "
               "use Load Starter World's latent, or set that size.")  # fmt: skip


def _prompt(posted: Posted, condition: object) -> Prompt | None:
    return prompt_of(posted, condition.origin) if isinstance(condition, ConditionStandIn) else None


def _name(label: str, i: int) -> str:
    return f"Term {label!r}" if label else f"Term {i + 1}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= SHORT else f"{text[: SHORT - 1]}…")


def _list(words: list[str]) -> str:
    each = list(dict.fromkeys(words))
    return ", ".join(each[:MOST_WORDS]) + (", ..." if len(each) > MOST_WORDS else "")
