"""The reach of the conditions of a posted graph, read from ComfyUI's nodes that limit them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...gcfg_core.guidance.coverage import NOWHERE, WHOLE, Reach, union
from ...gcfg_core.guidance.sampling_progress import Window
from .posted import Origin, Posted, PostedNode
from .widgets import PRIMITIVES

Range = tuple[str, str]

MOST_IN_A_ROW = 128
"""Largest number of nodes before a condition, one after another."""


@dataclass(frozen=True)
class Limits:
    """The limits that a node puts on the conditions passing through it.

    Attributes:
        inputs: for each output, the inputs whose conditions it is made of.
        range: widgets with the start and end of a timestep range.
        timesteps: input with a timestep range.
        places: inputs that limit to a part of the picture if they are connected.
        is_placed: the node always limits to a part of the picture.
        has_strength: its widget ``strength`` can be 0.
        beside: for each output, the inputs whose conditions are combined with it unchanged.
    """

    inputs: tuple[tuple[str, ...], ...] = (("conditioning",),)
    range: Range | None = None
    timesteps: str = ""
    places: tuple[str, ...] = ()
    is_placed: bool = False
    has_strength: bool = False
    beside: tuple[tuple[str, ...], ...] = ()


_PLACED = Limits(is_placed=True, has_strength=True)
_PAIR = (("positive",), ("negative",))
_MODEL_AND_PAIR = Limits(((), *_PAIR))
_PROPERTIES = Limits((("cond_NEW",),), None, "timesteps", ("mask",), has_strength=True)
_PAIR_PROPERTIES = replace(_PROPERTIES, inputs=(("positive_NEW",), ("negative_NEW",)))
_SAME_AS_TO = Limits((("conditioning_to",),))

NODES: dict[str, Limits] = {
    "ConditioningSetTimestepRange": Limits(range=("start", "end")),
    "ConditioningSetArea": _PLACED,
    "ConditioningSetAreaPercentage": _PLACED,
    "ConditioningSetAreaPercentageVideo": _PLACED,
    "ConditioningSetMask": _PLACED,
    "ConditioningSetAreaStrength": Limits(has_strength=True),
    "ConditioningCombine": Limits((("conditioning_1", "conditioning_2"),)),
    "ConditioningConcat": _SAME_AS_TO,
    "ConditioningAverage": _SAME_AS_TO,
    "GLIGENTextBoxApply": _SAME_AS_TO,
    "LTXVReferenceAudio": _MODEL_AND_PAIR,
    "WanInfiniteTalkToVideo": _MODEL_AND_PAIR,
    "ConditioningSetProperties": _PROPERTIES,
    "ConditioningSetPropertiesAndCombine": replace(_PROPERTIES, beside=(("cond",),)),
    "PairConditioningSetProperties": _PAIR_PROPERTIES,
    "PairConditioningSetPropertiesAndCombine": replace(_PAIR_PROPERTIES, beside=_PAIR),
    "PairConditioningSetDefaultCombine": Limits((("positive", "positive_DEFAULT"), ("negative", "negative_DEFAULT"))),
    "PairConditioningCombine": Limits((("positive_A", "positive_B"), ("negative_A", "negative_B"))),
    "ConditioningSetDefaultCombine": Limits((("cond", "cond_DEFAULT"),)),
}
OTHERS, OTHER_PAIRS = Limits(), Limits(_PAIR)
"""For all other nodes: an output is in force where the input ``conditioning`` is. Without that input the first output
is in force where ``positive`` is and the second where ``negative`` is; without any of them everywhere."""

RANGES: dict[str, tuple[Range, ...]] = {
    "ConditioningTimestepsRange": (("start_percent", "end_percent"), ("", "start_percent"), ("end_percent", ""))
}
"""For each output of a node with timestep ranges, the widgets with start and end; "" for those of sampling."""


class Conditions:
    """The reach of every condition of a posted graph."""

    def __init__(self, posted: Posted) -> None:
        self.posted = posted
        self._known: dict[Origin, Reach] = {}

    def reach(self, origin: Origin, depth: int = 0) -> Reach:
        """Return the reach of the condition at this output; everywhere if it cannot be read, as in a loop."""
        if origin not in self._known:
            self._known[origin] = WHOLE
            if depth < MOST_IN_A_ROW:
                self._known[origin] = self._read(origin, depth)
        return self._known[origin]

    def _read(self, origin: Origin, depth: int) -> Reach:
        node = self.posted.nodes.get(origin[0], PostedNode())
        limits = NODES.get(node.kind, OTHERS if node.origin("conditioning") else OTHER_PAIRS)
        made_of = self._reaches(node, limits.inputs, origin[1], depth)
        beside = self._reaches(node, limits.beside, origin[1], depth)
        if not made_of:
            return union(beside) if beside else WHOLE
        return union([self._limited(union(made_of), node, limits), *beside])

    def _reaches(self, node: PostedNode, inputs: Sequence[Sequence[str]], slot: int, depth: int) -> list[Reach]:
        """Return the reaches of the conditions that an output is made of."""
        names = inputs[min(slot, len(inputs) - 1)] if inputs else ()
        return [self.reach(link, depth + 1) for name in names if (link := node.origin(name)) is not None]

    def _limited(self, reach: Reach, node: PostedNode, limits: Limits) -> Reach:
        if limits.has_strength and _number(self.posted, node, "strength", 1.0) == 0.0:
            return NOWHERE
        if limits.is_placed or any(node.origin(name) for name in limits.places):
            reach = Reach(reach.windows, is_everywhere=False)
        return _ranged(reach, _bounds(self.posted, node, limits))


def _bounds(posted: Posted, node: PostedNode, limits: Limits) -> tuple[float, float] | None:
    """Return the timestep range that a node sets; None if it sets none, or if its values are unknown before a run."""
    giver, names = node, limits.range
    if (origin := node.origin(limits.timesteps)) is not None:
        giver = posted.nodes.get(origin[0], PostedNode())
        ranges = RANGES.get(giver.kind, ())
        names = ranges[origin[1]] if origin[1] < len(ranges) else None
    if names is None:
        return None
    start, end = (_number(posted, giver, name, default) for name, default in zip(names, (0.0, 1.0), strict=True))
    return None if start is None or end is None else (start, end)


def _ranged(reach: Reach, bounds: tuple[float, float] | None) -> Reach:
    """Limit a reach to a timestep range, which replaces earlier ranges."""
    if bounds is None or not reach.windows:
        return reach
    start, end = (min(max(bound, 0.0), 1.0) for bound in bounds)
    return Reach((Window(start, end),), reach.is_everywhere) if start <= end else NOWHERE


def _number(posted: Posted, node: PostedNode, name: str, default: float) -> float | None:
    """Return a widget's number, also if a primitive node supplies it; None if it is unknown before a run."""
    value = node.inputs.get(name, default)
    if (origin := node.origin(name)) is not None:
        giver = posted.nodes.get(origin[0], PostedNode())
        value = giver.inputs.get("value") if giver.kind in PRIMITIVES else None
    return float(value) if isinstance(value, (int, float)) else None
