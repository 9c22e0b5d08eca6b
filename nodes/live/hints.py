"""Hints on a graph that runs but probably does not do what was meant. They never stop anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from ...gcfg_core.guidance.formula import first_words
from ...gcfg_core.guidance.plan import BASE, Plan
from .posted import Posted
from .sources import Prompt, Sources
from .stand_ins import ConditionStandIn, ModelStandIn, UnknownWeight

MOST_WEIGHT = 20.0
"""Sum of the absolute weights at one time and place above which a hint appears; the paper's graph has 5."""
MOST_WORDS = 8
CUT = 200
"""Characters after which the web page cuts a text that it posts."""


class Hints:
    """The hints on the graph of one guider.

    Args:
        posted: the graph as it was posted.
        sources: of the same graph.
        node_id: of the guider, sampler or sweep.
        plan: compiled from stand-ins.
        swept: terms whose weight a sweep changes.
    """

    def __init__(self, posted: Posted, sources: Sources, node_id: str, plan: Plan, swept: Collection[int] = ()) -> None:
        self.posted, self.sources, self.node_id, self.plan, self.swept = posted, sources, node_id, plan, swept
        self.prompts = [self._prompt(one.condition) for one in plan.predictions]

    def all(self) -> list[str]:
        """Return the hints, the gravest first."""
        return [
            *self._text_free_base(),
            *self._prompt_in_the_base(),
            *self._idle_terms(),
            *self._size(),
            *self._unknown_words(),
            *self._equal_labels(),
            *self._total_weight(),
        ]

    def _text_free_base(self) -> Iterator[str]:
        """Prompts are given to a base model that reads none."""
        model, predictions = self.plan.models[BASE], self.plan.predictions
        name = self.sources.concept_file(model.origin) if isinstance(model, ModelStandIn) else ""
        if name and any(
            _has_text(prompt) for prompt, one in zip(self.prompts, predictions, strict=True) if one.model == BASE
        ):
            yield (
                f"{name} reads no text, so that as the base it ignores the prompt: connect it to a Guidance Term's "
                "model, and a model that reads text here."
            )

    def _prompt_in_the_base(self) -> Iterator[str]:
        """The base condition has a prompt, and a term adds an empty one to it, as if the two were swapped."""
        base, plan = self.prompts[BASE], self.plan
        if base is None or not _has_text(base):
            return
        added = [
            sides
            for term, sides in zip(plan.terms, plan.sides, strict=True)
            if term.weight > 0.0 and self._is_own(sides[0])
        ]
        has_empty = any(reference == BASE and self._is_empty(positive) for positive, reference in added)
        if has_empty and not any(_has_text(self.prompts[positive]) for positive, _ in added):
            yield (
                f"The prompt {first_words(base.text)} is the base condition, which terms push away from, and the terms "
                "have empty prompts: swap them."
            )

    def _idle_terms(self) -> Iterator[str]:
        for i, (term, (positive, reference)) in enumerate(zip(self.plan.terms, self.plan.sides, strict=True)):
            if positive == reference:
                name = f"Term {term.label!r}" if term.label else f"Term {i + 1}"
                yield (
                    f"{name} compares a prediction with itself and does nothing: connect a model or a positive "
                    "condition to it."
                )

    def _size(self) -> Iterator[str]:
        model = self.plan.models[BASE]
        world = self.sources.world_of(model.origin, "model") if isinstance(model, ModelStandIn) else None
        size = self.sources.latent_size(self.posted.nodes[self.node_id].origin("latent_image"))
        if world is not None and world.has_vae and size is not None and max(size) != world.resolution:
            side = world.resolution
            yield (
                f"The latent is {size[0]} x {size[1]} pixels, but {world.title!r} learned pictures of {side} x {side}: "
                "use Load Starter World's latent, or set that size."
            )

    def _unknown_words(self) -> Iterator[str]:
        from ..loading.world_clip import plain_text  # when it is needed: ComfyUI starts sooner

        told: dict[str, list[str]] = {}
        for prompt in dict.fromkeys(filter(None, self.prompts)):
            if (world := self.sources.world_of(prompt.clip, "clip")) is not None:
                text = prompt.text if len(prompt.text) != CUT else prompt.text.rpartition(" ")[0]
                told.setdefault(world.title, []).extend(world.words.unknown(plain_text(text)))
        for title, words in told.items():
            if words:
                yield f"{title!r} was not trained on: {_list(words)}. These words have no meaning there."

    def _equal_labels(self) -> Iterator[str]:
        counts = Counter(term.label for term in self.plan.terms if term.label)
        for label, count in counts.items():
            if count > 1:
                yield f"{count} terms are called {label!r}: give each a label of its own."

    def _total_weight(self) -> Iterator[str]:
        """Weights at one time add up; of terms with masks, which seldom overlap, the largest counts."""
        windows = {window for i in range(len(self.plan.terms)) for window in self.plan.reach(i).windows}
        total = max((self._weight_at(window.start) for window in windows), default=0.0)
        if total > MOST_WEIGHT:
            yield f"The weights add up to {total:.4g}; above {MOST_WEIGHT:g} most pictures burn. Try 1 to 7.5 a term."

    def _weight_at(self, percent: float) -> float:
        everywhere, masked = 0.0, 0.0
        for i, term in enumerate(self.plan.terms):
            reach, is_known = self.plan.reach(i), i not in self.swept and not isinstance(term.weight, UnknownWeight)
            if is_known and any(window.start <= percent < window.end for window in reach.windows):
                if term.mask is None and reach.is_everywhere:
                    everywhere += abs(term.weight)
                else:
                    masked = max(masked, abs(term.weight))
        return everywhere + masked

    def _prompt(self, condition: object) -> Prompt | None:
        return self.sources.prompt_of(condition.origin) if isinstance(condition, ConditionStandIn) else None

    def _is_own(self, j: int) -> bool:
        return self.plan.predictions[j].condition is not self.plan.predictions[BASE].condition

    def _is_empty(self, j: int) -> bool:
        """True if the prompt of prediction j is known to be empty."""
        prompt = self.prompts[j]
        return prompt is not None and not _has_text(prompt)


def _has_text(prompt: Prompt | None) -> bool:
    return prompt is not None and bool(prompt.text.strip())


def _list(words: list[str]) -> str:
    each = list(dict.fromkeys(words))
    return ", ".join(each[:MOST_WORDS]) + (", ..." if len(each) > MOST_WORDS else "")
