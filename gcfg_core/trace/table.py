"""A trace as Markdown tables for people: the formula, its cost, and the numbers of each term."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .summary import ModelSummary, TermSummary, first_overflow, seconds_of_calls, summarize_models, summarize_terms
from .trace import Trace

MEANING = (
    "size: root mean square of a term's difference. push: of what it adds, weight * size after mask and modifiers. "
    "cosine: 1 where it points the same way, -1 against it, 0 across; total is the sum of all terms."
)


def cost_line(trace: Trace) -> str:
    """Format as '25 calls, 75 evaluations (3 per call), 11.7 s', after 'run 2 of this guider: ' for later runs."""
    calls, spent = len(trace.records), seconds(seconds_of_calls(trace))
    evaluations = count(trace.evaluations, "evaluation")
    run = f"run {trace.runs} of this guider: " if trace.runs > 1 else ""
    return f"{run}{count(calls, 'call')}, {evaluations} ({trace.evaluations / max(calls, 1):.3g} per call), {spent}"


def trace_markdown(trace: Trace) -> str:
    """Return the whole report as Markdown."""
    terms = summarize_terms(trace)
    parts = ["# Guidance report", f"`{trace.formula}`", cost_line(trace)]
    if trace.runs > 1:
        parts.append("This is its last run; the numbers of those before it are not kept.")
    if (call := first_overflow(trace)) is not None:
        parts.append(overflow_line(call))
    parts.append(_model_table(trace, summarize_models(trace)))
    if terms:
        parts += [_term_table(trace, terms)]
    if len(terms) > 1:
        parts += ["Cosines between what the terms add:", _between_table(terms)]
    return "\n\n".join([*parts, MEANING]) + "\n"


def overflow_line(call: int) -> str:
    """Say from which call on the predictions were not finite."""
    return f"From call {call} on predictions were not finite (inf or nan): the weights or the precision overflowed."


def count(number: int, noun: str) -> str:
    """Format as '1 call', '25 calls'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seconds(value: float) -> str:
    """Format as '0.0123 s', '11.7 s', '1234 s'; '-' for nan."""
    if math.isnan(value):
        return "-"
    return f"{value:.0f} s" if value >= 100.0 else f"{value:.3g} s"


def number(value: float, digits: int = 3) -> str:
    """Format with three significant digits, '-' for nan."""
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def cosine(value: float) -> str:
    """Format with two decimals with a sign, '-' for nan."""
    return "-" if math.isnan(value) else f"{round(value, 2) + 0.0:+.2f}"


def _model_table(trace: Trace, models: Sequence[ModelSummary]) -> str:
    calls = max(len(trace.records), 1)
    rows = [[m.name, str(m.evaluations), f"{m.evaluations / calls:.3g}", seconds(m.seconds)] for m in models]
    return _table(["model", "evaluations", "per call", "time"], rows)


def _term_table(trace: Trace, terms: Sequence[TermSummary]) -> str:
    rows = [
        [term.name, _acted(term, len(trace.records)), number(term.weight), number(term.size), number(term.push),
         cosine(term.cosine)]
        for term in terms
    ]  # fmt: skip
    return _table(["term", "acted in", "mean weight", "mean size", "mean push", "cosine with total"], rows)


def _acted(term: TermSummary, calls: int) -> str:
    """Format as '25 of 25 calls', with the number of measured calls if it is smaller."""
    if term.acted == 0:
        return "no call"
    text = f"{term.acted} of {calls} calls"
    if term.measured == term.acted:
        return text
    return f"{text}, {term.measured or 'none'} measured"


def _between_table(terms: Sequence[TermSummary]) -> str:
    rows = [[term.name, *map(cosine, term.between)] for term in terms]
    return _table(["", *(term.name for term in terms)], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
