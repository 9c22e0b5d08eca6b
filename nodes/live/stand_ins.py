"""Stand-ins for values of a posted graph that are unknown before a run."""

from __future__ import annotations

from dataclasses import dataclass

from ...gcfg_core.guidance.coverage import WHOLE, Reach
from .posted import Origin


@dataclass(frozen=True, eq=False)
class ModelStandIn:
    """A stand-in for a model.

    Attributes:
        origin: the output that gives it.
    """

    origin: Origin


@dataclass(frozen=True, eq=False)
class ConditionStandIn:
    """A stand-in for a condition.

    Attributes:
        origin: the output that gives it.
        reach: where it is in force.
    """

    origin: Origin
    reach: Reach = WHOLE


class UnknownWeight(float):
    """A stand-in for a weight that comes through a link: a number that is not zero and does not cancel another."""
