"""The settings that the experiment compares: which models are mixed, with which weights, when. Plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

STEPS = 25
BASE, TOON, PIXEL, TUNED = "base", "toon", "pixel", "toon_with_text"


@dataclass(frozen=True)
class TermSpec:
    """One guidance term: weight * (prediction of ``model`` - the unconditional one), between two shares of sampling.

    Args:
        model: whose prediction is added; the setting's base model where it is "".
        prompt: whether it reads the prompt.
        refresh: its difference is computed at each k-th call and kept in between.
    """

    weight: float
    model: str = ""
    prompt: bool = False
    start: float = 0.0
    end: float = 1.0
    refresh: int = 1


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Args:
        name: for tables, and of its folder of samples.
        group: what it is compared with.
        base: the model whose unconditional prediction everything is added to.
        terms: what is added.
        concept: the style that the result should have.
        steps: of sampling.
    """

    name: str
    group: str
    base: str
    terms: tuple[TermSpec, ...] = ()
    concept: str = TOON
    steps: int = STEPS

    @property
    def models(self) -> tuple[str, ...]:
        """Every model it needs, each once."""
        return tuple(dict.fromkeys([self.base, *(term.model for term in self.terms if term.model)]))

    def as_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def concept(weight: float, model: str = TOON, start: float = 0.0, end: float = 1.0, refresh: int = 1) -> TermSpec:
    """Concept guidance: a null-text model's prediction."""
    return TermSpec(weight, model, False, start, end, refresh)


def control(weight: float, start: float = 0.0, end: float = 1.0, refresh: int = 1, model: str = "") -> TermSpec:
    """Control guidance: the prediction under the prompt."""
    return TermSpec(weight, model, True, start, end, refresh)


def gcfg(w_concept: float, w_control: float) -> Setting:
    """The paper's graph."""
    return Setting(f"GCFG {w_concept:g}, {w_control:g}", "GCFG", BASE, (concept(w_concept), control(w_control)))


def tuned(scale: float) -> Setting:
    """The model fine-tuned with text, under classifier-free guidance."""
    return Setting(f"fine-tuned, CFG {scale:g}", "fine-tuned + CFG", TUNED, (control(scale),))


CONCEPT_WEIGHTS = (1.0, 1.5, 2.0)
CONTROL_WEIGHTS = (1.0, 2.0, 3.0, 5.0)
SCALES = (1.0, 1.5, 2.0, 3.0, 5.0)


def main_settings() -> list[Setting]:
    """The paper's comparison."""
    return [
        Setting("base, CFG 3", "base + CFG", BASE, (control(3.0),)),
        Setting("concept alone", "concept alone", TOON),
        *map(tuned, SCALES),
        *(gcfg(w, c) for w in CONCEPT_WEIGHTS for c in CONTROL_WEIGHTS),
    ]


def cost_settings(w: float = 1.5, c: float = 3.0) -> list[Setting]:
    """Fewer evaluations of the paper's graph: windows, reuse, the concept alone at the end, fewer steps."""
    group = "cost"

    def at(name: str, *terms: TermSpec, steps: int = STEPS) -> Setting:
        return Setting(name, group, BASE, terms, steps=steps)

    return [
        at("control before 50 %", concept(w), control(c, end=0.5)),
        at("control before 30 %", concept(w), control(c, end=0.3)),
        at("control before 20 %", concept(w), control(c, end=0.2)),
        at("concept after 30 %", concept(w, start=0.3), control(c)),
        at("control before 40 %, concept after 20 %", concept(w, start=0.2), control(c, end=0.4)),
        at("each 2nd step", concept(w, refresh=2), control(c, refresh=2)),
        at("control before 40 %, each 2nd step", concept(w, refresh=2), control(c, end=0.4, refresh=2)),
        at("control before 30 %, concept alone after 60 %", concept(1.0), concept(w - 1.0, end=0.6),
           control(c, end=0.3)),
        at("control before 30 %, 15 steps", concept(w), control(c, end=0.3), steps=15),
    ]  # fmt: skip


def drift_settings() -> list[Setting]:
    """The fine-tuned model's prompt against its own unconditional prediction (CFG) and against the base's."""
    return [
        Setting(f"fine-tuned, base's unconditional, {scale:g}", "unconditional of the base", BASE,
                (control(scale, model=TUNED),))
        for scale in SCALES[1:4]
    ]  # fmt: skip


def two_concept_settings(c: float = 3.0) -> list[Setting]:
    """Two null-text models at once, their shares moved from one to the other."""
    return [
        Setting(f"toon {1.5 - w:g}, pixel {w:g}", "two concepts", BASE,
                (concept(1.5 - w), concept(w, PIXEL), control(c)))
        for w in (0.0, 0.5, 0.75, 1.0, 1.5)
    ]  # fmt: skip


def ablation_settings(names: Iterable[str], w: float = 1.5, c: float = 3.0) -> list[Setting]:
    """The paper's graph with other concept models, by their names."""
    return [Setting(f"GCFG with {name}", "ablation", BASE, (concept(w, name), control(c))) for name in names]


def length_settings(lengths: Iterable[int], w: float = 1.5, c: float = 3.0, scale: float = 1.5) -> list[Setting]:
    """Both ways over the length of fine-tuning: models named `toon@STEPS` and `toon_with_text@STEPS`."""
    found = []
    for steps in lengths:
        found.append(Setting(f"GCFG after {steps} steps", "length", BASE, (concept(w, f"{TOON}@{steps}"), control(c))))
        found.append(Setting(f"fine-tuned for {steps} steps, CFG {scale:g}", "length", f"{TUNED}@{steps}",
                             (control(scale),)))  # fmt: skip
    return found
