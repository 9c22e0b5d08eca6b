"""The predictions that functions on a call's result (ComfyUI's cfg hooks) need, whatever their coefficients are.

Hooks receive the primary term's pair where it acts, and elsewhere the base prediction on both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

from .plan import BASE, Plan
from .sampling_progress import SamplingProgress


@dataclass(frozen=True)
class HookNeeds:
    """The needs of one base model's hooks.

    Attributes:
        are_used: there is at least one hook.
        want_both_sides: a hook asks for the unconditional prediction also at weight 1
            (`disable_cfg1_optimization`, as CFG++ samplers set it).
        want_weight_0: hooks receive the pair at weight 0 too, because they may use another weight.
    """

    are_used: bool = False
    want_both_sides: bool = False
    want_weight_0: bool = False

    def see_primary(
        self, plan: Plan, weights: Sequence[float], sigma: SupportsFloat, progress: SamplingProgress, rests: bool
    ) -> bool:
        """True if hooks receive the primary term's pair: it acts, or they want it although its weight is 0.

        Args:
            rests: a condition of the pair is not in force.
        """
        if plan.primary is None or rests:
            return False
        if weights[plan.primary] != 0.0:
            return True
        return (self.want_both_sides or self.want_weight_0) and progress.is_active(
            plan.terms[plan.primary].window, float(sigma)
        )

    def kept(
        self, plan: Plan, weights: Sequence[float], sees_primary: bool, reused: Collection[int] = ()
    ) -> frozenset[int]:
        """Return the predictions to evaluate for the hooks, by the rule of ComfyUI's CFGGuider.

        If the primary term's difference is reused, hooks receive the base prediction plus that difference.
        """
        if not self.are_used and not (self.want_both_sides and sees_primary):
            return frozenset()
        if not sees_primary or plan.primary is None or plan.primary in reused:
            return frozenset({BASE})
        positive = plan.sides[plan.primary][0]
        needs_base = weights[plan.primary] != 1.0 or self.want_both_sides
        return frozenset({positive, BASE} if needs_base else {positive})


NO_NEEDS = HookNeeds()
