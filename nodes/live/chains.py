"""Chains of terms from a posted graph: our nodes run on stand-ins for values that are unknown before a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from comfy_api.latest import io

from ...gcfg_core.errors import InputError
from ...gcfg_core.guidance.graph import GuidanceTerm
from ...gcfg_core.guidance.sweep import Axis
from ..comfyui.types import AxisType, Terms
from ..guidance_term import GuidanceTermNode
from ..merge_terms import MergeTermsNode
from ..modify_term import ModifyTermNode
from ..sweep_axis import SweepAxisNode
from .conditions import Conditions
from .posted import LONGEST_NAME, Origin, Posted, PostedNode, short
from .stand_ins import ConditionStandIn, ModelStandIn, UnknownWeight
from .widgets import PRIMITIVES, check_value

CHAIN_NODES: dict[str, type[io.ComfyNode]] = {
    "GCFG_GuidanceTerm": GuidanceTermNode,
    "GCFG_ModifyTerm": ModifyTermNode,
    "GCFG_MergeTerms": MergeTermsNode,
}
AXIS = "GCFG_SweepAxis"
MOST_TERMS = 64
PRIMES = [n for n in range(2, 312) if all(n % k for k in range(2, n))]
"""One prime for each term that a chain may have: their square roots are linearly independent over the rationals."""
MOST_IN_A_ROW = 128
"""Largest number of nodes in a chain, one after another."""


class NotKnownYet(Exception):
    """The result needs a missing link or a value that is unknown before a run; the message names it."""


class Chains:
    """The chains of terms that nodes of a posted graph output.

    Two sockets hold the same model, condition or mask if their links begin at the same output of the same node; more
    is not known before a run.

    Attributes:
        notes: assumptions made on the way, for people.
    """

    def __init__(self, posted: Posted) -> None:
        self.posted = posted
        self.notes: list[str] = []
        self._conditions = Conditions(posted)
        self._outputs: dict[Origin, Any] = {}
        self._weights: dict[Origin, UnknownWeight] = {}
        self._terms: dict[str, tuple[GuidanceTerm, ...]] = {}
        self._open: list[str] = []
        """The nodes whose chains are being built, from the requested node on."""

    def terms(self, node_id: str) -> tuple[GuidanceTerm, ...]:
        """Return the chain that this node outputs.

        Raises:
            ValueError: it cannot be built; the message names the node and the remedy.
            NotKnownYet: an input is open, or a node of another pack makes the chain.
        """
        if node_id not in self._terms:
            self._check_way(node_id)
            self._open.append(node_id)
            self._terms[node_id] = self._execute(node_id)
            self._open.pop()
        return self._terms[node_id]

    def _check_way(self, node_id: str) -> None:
        name = self.posted.name(node_id)
        if node_id in self._open:
            raise ValueError(f"{name}: the links form a loop; remove one of them.")
        if self._kind(node_id) not in CHAIN_NODES:
            raise NotKnownYet(f"The terms come from {name}: they are known when it runs.")
        if len(self._open) >= MOST_IN_A_ROW:
            raise ValueError(f"{name}: more than {MOST_IN_A_ROW} nodes in a row are not described before a run.")

    def _execute(self, node_id: str) -> tuple[GuidanceTerm, ...]:
        terms = self._result(node_id, CHAIN_NODES[self._kind(node_id)])
        if len(terms) > MOST_TERMS:
            name = self.posted.name(node_id)
            raise ValueError(f"{name}: more than {MOST_TERMS} terms are not described before a run.")
        return terms

    def _axis(self, node_id: str) -> Axis:
        """Return the axis of a sweep that this node outputs; raises as ``terms``."""
        if self._kind(node_id) != AXIS:
            raise NotKnownYet(f"An axis comes from {self.posted.name(node_id)}: it is known when it runs.")
        return self._result(node_id, SweepAxisNode)

    def _result(self, node_id: str, node: type[io.ComfyNode]) -> Any:
        """Return the first output of one of our own nodes."""
        arguments = self.arguments(node_id, node.GET_SCHEMA().inputs)
        try:
            return node.execute(**arguments).args[0]
        except ValueError as error:
            raise ValueError(f"{self.posted.name(node_id)}: {error}") from None

    def arguments(self, node_id: str, inputs: Sequence[Any]) -> dict[str, Any]:
        """Return values and stand-ins for these inputs of a node.

        Args:
            inputs: of its schema.

        Raises:
            ValueError: a widget does not accept its value.
            NotKnownYet: a required input is open.
        """
        node = self.posted.nodes[node_id]
        needed = [socket.id for socket in inputs if not isinstance(socket, io.WidgetInput) and not socket.optional]
        missing = [name for name in needed if not node.origin(name)]
        if missing:
            raise NotKnownYet(f"{self.posted.name(node_id)}: connect {' and '.join(missing)}.")
        arguments = {}
        for socket in inputs:
            origin = node.origin(socket.id)
            if isinstance(socket, io.WidgetInput):
                arguments[socket.id] = self._value(node_id, socket, origin)
            elif origin is not None:
                arguments[socket.id] = self._linked(origin, socket)
        return arguments

    def _linked(self, origin: Origin, socket: Any) -> Any:
        if isinstance(socket, Terms.Input):
            return self.terms(origin[0])
        return self._axis(origin[0]) if isinstance(socket, AxisType.Input) else self._stand_in(origin, socket)

    def _stand_in(self, origin: Origin, socket: Any) -> Any:
        """Return a stand-in for the value of this output. Masks are random, so that no sum of different masks is
        flat."""
        if origin not in self._outputs:
            random = torch.Generator().manual_seed(len(self._outputs))
            if isinstance(socket, io.Mask.Input):
                self._outputs[origin] = torch.rand(1, 8, 8, generator=random)
            elif isinstance(socket, io.Conditioning.Input):
                self._outputs[origin] = ConditionStandIn(origin, self._conditions.reach(origin))
            else:
                self._outputs[origin] = ModelStandIn(origin)
        return self._outputs[origin]

    def _value(self, node_id: str, widget: Any, origin: Origin | None) -> Any:
        value = self.posted.nodes[node_id].inputs.get(widget.id, widget.default)
        if origin is not None:
            giver = self.posted.nodes.get(origin[0], PostedNode())
            if giver.kind not in PRIMITIVES or giver.origin("value") or "value" not in giver.inputs:
                return self._assumed(node_id, widget, origin)
            value = giver.inputs["value"]
        try:
            value = check_value(widget, value)
            return short(value) if widget.id == "label" and len(value) > LONGEST_NAME else value
        except InputError as error:
            raise ValueError(f"{self.posted.name(node_id)}: {error}") from None

    def _unknown_weight(self, origin: Origin) -> UnknownWeight:
        """Return a weight that depends only on the output; no signed sum of different ones is zero or a round
        number."""
        if origin not in self._weights:
            self._weights[origin] = UnknownWeight(math.sqrt(PRIMES[len(self._weights) % len(PRIMES)]) / 3.0)
        return self._weights[origin]

    def _assumed(self, node_id: str, widget: Any, origin: Origin) -> Any:
        """Return a stand-in for a widget's value that comes through a link, an unknown weight or its default, and
        add a note."""
        is_weight = widget.id == "weight"
        assumed = "" if is_weight else f"; {widget.default!r} is assumed"
        name, giver = self.posted.name(node_id), self.posted.name(origin[0])
        self.notes.append(f"{name}: {widget.id} comes from {giver}, known when it runs{assumed}.")
        return self._unknown_weight(origin) if is_weight else widget.default

    def _kind(self, node_id: str) -> str:
        return self.posted.nodes.get(node_id, PostedNode()).kind
