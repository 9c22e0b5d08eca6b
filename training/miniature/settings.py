"""The settings that the experiment compares: models, weights and windows. Plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

STEPS = 25
BASE, TOON, PIXEL, TUNED = "base", "toon", "pixel", "toon_with_text"
SAME = "toon_same_caption"  # fine-tuned like TUNED, with the empty caption for every picture
KEPT = {TOON: 4000, TUNED: 4000, PIXEL: 1000}  # optimization steps of the models that ship
WITHOUT_CAPTIONS = f"{SAME}@{KEPT[TUNED]}"  # after as many steps as TUNED; it does not ship
ABLATION = 1000  # steps of the models that differ from toon@1000 in one setting
WEIGHTS = (1.5, 3.0)  # of concept and control, where models are compared
THRIFTY = (1.25, 3.0)  # the same, where windows and reuse are compared
SCALE = 1.5  # of CFG, where models are compared
PROMPT_END = 0.75  # share of sampling at which the prompt's term ends
UNSHOWN_END = 0.9  # the same if the prompt's term must last longer
ASKED = ", glasses"  # suffix of settings whose prompts ask for glasses
# Groups of settings that are compared with each other.
PLAIN, ALONE, GCFG, PAPER = "base + CFG", "concept alone", "GCFG", "GCFG, weights of the paper"
WINDOWED = f"GCFG, control before {100 * PROMPT_END:g} %"
CAPTIONED, UNCAPTIONED = "fine-tuned + CFG", "fine-tuned without captions + CFG"
DRIFT, COST, LENGTH, UNSHOWN = "unconditional of the base", "cost", "length", "glasses"


@dataclass(frozen=True)
class TermSpec:
    """A guidance term: weight * (prediction of ``model`` - unconditional prediction), between two shares of sampling.

    Args:
        model: its model; "" is the setting's base model.
        prompt: True if it reads the prompt.
        refresh: compute its difference at every k-th call, and reuse it in between.
    """

    weight: float
    model: str = ""
    prompt: bool = False
    start: float = 0.0
    end: float = 1.0
    refresh: int = 1


@dataclass(frozen=True)
class Setting:
    """A row of the table.

    Args:
        name: its name in tables.
        group: its group of compared settings.
        base: model of the unconditional prediction that the terms are added to.
        terms: guidance terms.
        steps: sampling steps.
        glasses: True if every second prompt asks for glasses.
    """

    name: str
    group: str
    base: str
    terms: tuple[TermSpec, ...] = ()
    steps: int = STEPS
    glasses: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """Names of all its models, without duplicates."""
        return tuple(dict.fromkeys([self.base, *(term.model for term in self.terms if term.model)]))

    def as_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def concept(weight: float, model: str = TOON, start: float = 0.0, end: float = 1.0, refresh: int = 1) -> TermSpec:
    """Return a concept term: a null-text model's prediction."""
    return TermSpec(weight, model, False, start, end, refresh)


def control(weight: float, start: float = 0.0, end: float = 1.0, refresh: int = 1, model: str = "") -> TermSpec:
    """Return a control term: the prediction under the prompt."""
    return TermSpec(weight, model, True, start, end, refresh)


def gcfg(w_concept: float, w_control: float, group: str = GCFG) -> Setting:
    """Return the paper's graph."""
    return Setting(f"GCFG {w_concept:g}, {w_control:g}", group, BASE, (concept(w_concept), control(w_control)))


def windowed(w_concept: float, w_control: float, end: float = PROMPT_END) -> Setting:
    """Return the paper's graph, without the prompt at the end of sampling."""
    terms = (concept(w_concept), control(w_control, end=end))
    return Setting(f"GCFG {w_concept:g}, {w_control:g}{until(end)}", WINDOWED, BASE, terms)


def tuned(scale: float, end: float = 1.0) -> Setting:
    """Return the model fine-tuned with captions, under classifier-free guidance."""
    return Setting(f"fine-tuned, CFG {scale:g}{until(end)}", CAPTIONED, TUNED, (control(scale, end=end),))


def until(end: float) -> str:
    """Return the suffix that states where in sampling the prompt's term ends."""
    return f" to {100 * end:g} %" if end < 1.0 else ""


def same_caption(scale: float) -> Setting:
    """Return the model fine-tuned with the empty caption, prompted under classifier-free guidance."""
    name = f"fine-tuned without captions, CFG {scale:g}"
    return Setting(name, UNCAPTIONED, WITHOUT_CAPTIONS, (control(scale),))


PLAIN_CFG = Setting("base, CFG 3", PLAIN, BASE, (control(3.0),))
CONCEPT_ALONE = Setting("concept alone", ALONE, TOON)
PAPERS_OWN = gcfg(2.5, 2.5, PAPER)
CONCEPT_WEIGHTS = (1.0, 1.5)
CONTROL_WEIGHTS = (1.0, 2.0, 3.0)
WINDOWED_WEIGHTS = (2.0, 3.0, 4.0, 6.0)
SCALES = (1.0, 1.5, 2.0, 3.0)
UNSHOWN_CONTROL, UNSHOWN_SCALES = (3.0, 5.0, 7.0), (2.0, 8.0, 16.0)


def main_settings() -> list[Setting]:
    """Return the paper's comparison."""
    return [
        PLAIN_CFG,
        CONCEPT_ALONE,
        *map(tuned, SCALES),
        *map(same_caption, SCALES),
        *(gcfg(w, c) for w in CONCEPT_WEIGHTS for c in CONTROL_WEIGHTS),
        PAPERS_OWN,
        *(windowed(THRIFTY[0], c) for c in WINDOWED_WEIGHTS),
    ]


def cost_settings() -> list[Setting]:
    """Return variants of the paper's graph with fewer evaluations: windows, reuse, concept alone at the end, fewer
    steps."""
    w, c = THRIFTY

    def at(name: str, *terms: TermSpec, steps: int = STEPS) -> Setting:
        return Setting(name, COST, BASE, terms, steps=steps)

    return [
        at("everything, always", concept(w), control(c)),
        at("control before 50 %", concept(w), control(c, end=0.5)),
        at("control before 30 %", concept(w), control(c, end=0.3)),
        at("concept after 30 %", concept(w, start=0.3), control(c)),
        at("control before 50 %, concept after 20 %", concept(w, start=0.2), control(c, end=0.5)),
        at("each 2nd step", concept(w, refresh=2), control(c, refresh=2)),
        at("control before 50 %, each 2nd step", concept(w, refresh=2), control(c, end=0.5, refresh=2)),
        at("control before 50 %, concept alone after 50 %", concept(1.0), concept(w - 1.0, end=0.5),
           control(c, end=0.5)),
        at("control before 50 %, 15 steps", concept(w), control(c, end=0.5), steps=15),
    ]  # fmt: skip


def drift_settings() -> list[Setting]:
    """Return the fine-tuned model's prompt against its own unconditional prediction (CFG) and against the base's."""
    return [
        Setting(f"fine-tuned, base's unconditional, {scale:g}", DRIFT, BASE,
                (control(scale, model=TUNED),))
        for scale in SCALES[1:4]
    ]  # fmt: skip


def two_concept_settings() -> list[Setting]:
    """Return mixtures of two null-text models with shifting shares, measured against the first's pictures."""
    w, c = WEIGHTS
    return [
        Setting(f"toon {w - other:g}, pixel {other:g}", "two concepts", BASE,
                (concept(w - other), concept(other, PIXEL), control(c)))
        for other in (w / 3, w / 2, w / 1.5)
    ]  # fmt: skip


def unshown_ways() -> dict[str, list[Setting]]:
    """Return settings whose every second prompt asks for glasses, which no concept picture shows, grouped by curve."""
    w = THRIFTY[0]
    ways = {
        PLAIN: [PLAIN_CFG],
        "fine-tuned with captions + CFG": [*map(tuned, UNSHOWN_SCALES)],
        f"fine-tuned with captions + CFG{until(UNSHOWN_END)}": [tuned(UNSHOWN_SCALES[-1], UNSHOWN_END)],
        UNCAPTIONED: [*map(same_caption, UNSHOWN_SCALES)],
        f"GCFG, w_concept {WEIGHTS[0]:g}": [gcfg(WEIGHTS[0], c) for c in UNSHOWN_CONTROL],
        PAPERS_OWN.name: [PAPERS_OWN],
        f"GCFG, w_concept {w:g}, prompt{until(PROMPT_END)}": [windowed(w, c) for c in (THRIFTY[1], 9.0)],
        f"GCFG, w_concept {w:g}, prompt{until(UNSHOWN_END)}": [
            windowed(w, c, UNSHOWN_END) for c in (*UNSHOWN_CONTROL, 9.0)
        ],
    }
    return {label: [asking(one) for one in same] for label, same in ways.items()}


def asking(setting: Setting) -> Setting:
    """Return the setting with glasses in every second prompt."""
    return replace(setting, name=f"{setting.name}{ASKED}", group=UNSHOWN, glasses=True)


# Settings in the example grids.
SHOWN = tuple(one.name for one in (PLAIN_CFG, CONCEPT_ALONE, tuned(2.0), same_caption(2.0), PAPERS_OWN,
                                   windowed(*THRIFTY)))  # fmt: skip
SHOWN_WITH_GLASSES = tuple(
    asking(one).name
    for one in (PLAIN_CFG, tuned(2.0), tuned(16.0), same_caption(2.0), windowed(*THRIFTY),
                windowed(THRIFTY[0], 9.0, UNSHOWN_END), gcfg(WEIGHTS[0], 7.0))
)  # fmt: skip


def ablation_settings(names: Iterable[str]) -> list[Setting]:
    """Return the paper's graph with other concept models, by name."""
    w, c = WEIGHTS
    return [Setting(f"GCFG with {name}", "ablation", BASE, (concept(w, name), control(c))) for name in names]


def length_settings(lengths: Iterable[int]) -> list[Setting]:
    """Return the settings over the length of fine-tuning, with models named `toon@STEPS` and so on."""
    (w, c), found = WEIGHTS, []
    for steps in lengths:
        found += [
            Setting(f"GCFG after {steps} steps", LENGTH, BASE, (concept(w, f"{TOON}@{steps}"), control(c))),
            Setting(f"fine-tuned after {steps} steps", LENGTH, f"{TUNED}@{steps}", (control(SCALE),)),
            Setting(f"fine-tuned without captions after {steps} steps", LENGTH, f"{SAME}@{steps}", (control(SCALE),)),
        ]
    return found
