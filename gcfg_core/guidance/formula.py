"""The formula of a graph as text, and the names of its models, conditions and predictions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .coverage import Reach
from .curves import Constant, Curve
from .graph import names_of
from .plan import BASE, Plan

UNKNOWN = "?"
"""Stands for a weight that is not known before the run."""
LONGEST = 22
"""Characters of a prompt that names a condition."""


def model_names(plan: Plan) -> tuple[str, ...]:
    """Name the models: 'base', then for each other model the label of the first term that uses it, or 'model2' ..."""
    names = ["base"]
    for model in range(1, len(plan.models)):
        owners = [
            term.label
            for side in (0, 1)
            for term, sides in zip(plan.terms, plan.sides, strict=True)
            if term.label and plan.predictions[sides[side]].model == model
        ]
        names.append(_unused(owners[0] if owners else f"model{model + 1}", names))
    return tuple(names)


def _unused(name: str, names: Sequence[str]) -> str:
    """Return the name, with a number appended if it is taken."""
    return name if name not in names else _unused(f"{name}{len(names) + 1}", names)


def term_names(plan: Plan) -> tuple[str, ...]:
    return names_of(plan.terms)


def condition_names(plan: Plan, prompts: Sequence[str] = ()) -> tuple[str, ...]:
    """Name each prediction's condition: 'null' for the base's, the label of the first term that adds it on the base
    model, or 'c1', 'c2' ...

    Args:
        prompts: the prompt of each prediction, "" where it is not known; or (). Its first words replace 'null' and
            'c1'.
    """
    words = [first_words(prompt) for prompt in prompts] or [""] * len(plan.predictions)
    conditions, names = [plan.predictions[BASE].condition], [words[BASE] or "null"]
    labels = []
    for j, prediction in enumerate(plan.predictions):
        index = next((k for k, known in enumerate(conditions) if known is prediction.condition), None)
        if index is None:
            index = len(conditions)
            conditions.append(prediction.condition)
            names.append(_unused(_condition_label(plan, j) or words[j] or f"c{index}", names))
        labels.append(names[index])
    return tuple(labels)


def _condition_label(plan: Plan, j: int) -> str:
    """Return the label of the first term that adds the condition of prediction ``j`` with the base model on both
    sides."""
    for term, sides in zip(plan.terms, plan.sides, strict=True):
        positive, reference = (plan.predictions[side] for side in sides)
        is_base = positive.model == reference.model == BASE
        if term.label and is_base and positive.condition is plan.predictions[j].condition:
            return term.label
    return ""


def first_words(prompt: str) -> str:
    """Return the beginning of a prompt in quotes; "" for an empty one."""
    text = " ".join(prompt[: 8 * LONGEST].split())
    return text and f"'{text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + '…'}'"


def prediction_names(plan: Plan, prompts: Sequence[str] = ()) -> tuple[str, ...]:
    """Name the predictions: 'base(null)', 'concept(null)', 'base(control)' ...; ``prompts`` as for
    `condition_names`."""
    models = model_names(plan)
    return tuple(
        f"{models[prediction.model]}({condition})"
        for prediction, condition in zip(plan.predictions, condition_names(plan, prompts), strict=True)
    )


def _number(value: float) -> str:
    return f"{value:.4g}"


def _curve_text(curve: Curve) -> str:
    return "" if isinstance(curve, Constant) else f" {type(curve).__name__.lower()}"


def _windows_text(reach: Reach) -> str:
    if reach.is_always:
        return ""
    return " @ " + (", ".join(f"{window.start:.0%}-{window.end:.0%}" for window in reach.windows) or "never")


def _places_text(plan: Plan, i: int, names: Sequence[str]) -> str:
    """Return the factors that limit term i to a part of the picture: its mask, and its conditions' covers."""
    term = plan.terms[i]
    mask = "" if term.mask is None else f" * mask[{term.label}]" if term.label else " * mask"
    partial = {names[side]: None for side in plan.sides[i] if not plan.predictions[side].reach.is_everywhere}
    return mask + "".join(f" * area[{name}]" for name in partial)


def _term_text(plan: Plan, i: int, is_unknown: bool, prompts: Sequence[str]) -> str:
    term, names = plan.terms[i], prediction_names(plan, prompts)
    positive, reference = (names[side] for side in plan.sides[i])
    difference = f"({positive} - {reference})"
    for modifier in plan.acting(i):
        difference = modifier.text() + difference
    timing = (_curve_text(term.curve) + _windows_text(plan.reach(i))).strip()
    weight = UNKNOWN if is_unknown else _number(abs(term.weight))
    places = _places_text(plan, i, condition_names(plan, prompts))
    return f"{weight}{{{timing}}}{places} * {difference}" if timing else f"{weight}{places} * {difference}"


def formula(plan: Plan) -> str:
    """Write a graph as one line: 'D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (base(control) -
    base(null))'."""
    return " ".join(formula_lines(plan))


def formula_lines(plan: Plan, unknown: Collection[int] = (), prompts: Sequence[str] = ()) -> list[str]:
    """Write the formula as a line for the base and one for each term.

    Args:
        unknown: terms whose weight is not known before the run; a question mark replaces it.
        prompts: as for `condition_names`.
    """
    lines = [f"D = {prediction_names(plan, prompts)[BASE]}"]
    for i, term in enumerate(plan.terms):
        sign = "-" if term.weight < 0 and i not in unknown else "+"
        lines.append(f"{sign} {_term_text(plan, i, i in unknown, prompts)}")
    if plan.graph.rescale > 0.0:
        lines[-1] += f", rescaled by {_number(plan.graph.rescale)}"
    return lines
