"""Coverage in ComfyUI: where it evaluates a condition, and where it returns zeros instead.

``calc_cond_batch`` leaves out conditions outside their timestep range and divides the weighted sum of the others'
predictions by the sum of their weights; where that sum is zero nothing was evaluated.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import comfy.samplers
import torch

from ...gcfg_core.guidance.coverage import NOWHERE, Cover, Coverage, Reach, is_nowhere, union
from ...gcfg_core.guidance.plan import BASE, Plan
from ...gcfg_core.guidance.sampling_progress import Window

if TYPE_CHECKING:
    from .branch import Branch

Part = Mapping[str, Any]
"""A condition dict of ComfyUI's; several make up one condition."""

LIMITS = ("timestep_start", "timestep_end", "area", "mask", "default")
"""Entries that limit a processed part in time or space. ``default`` parts fill the remaining places."""
BASE_INPUT = "GCFG Guider or GCFG Sampler, input 'conditioning'"
PLACES = ("area", "mask")
STRENGTHS = ("strength", "mask_strength")


def reach_of(conditioning: Sequence[tuple[Any, Part]]) -> Reach:
    """Return the reach of a CONDITIONING, read from the entries that its nodes wrote into it."""
    return union(_reach_of_part(options) for _, options in conditioning)


def _reach_of_part(options: Part) -> Reach:
    start = max(options.get("start_percent", 0.0), options.get("clip_start_percent", 0.0), 0.0)
    end = min(options.get("end_percent", 1.0), options.get("clip_end_percent", 1.0), 1.0)
    if end < start or _has_no_strength(options):
        return NOWHERE
    return Reach((Window(start, end),), is_everywhere=not any(name in options for name in PLACES))


def _has_no_strength(part: Part) -> bool:
    return any(part.get(name, 1.0) == 0.0 for name in STRENGTHS)


def is_whole(cond: Sequence[Part]) -> bool:
    """True if a part of a processed condition is in force always and everywhere."""
    return any(not any(name in part for name in LIMITS) and not _has_no_strength(part) for part in cond)


def parts_in_force(cond: Sequence[Part], sigma: torch.Tensor) -> list[Part]:
    """Return the parts of a processed condition that ComfyUI evaluates at ``sigma`` [B]; the first sample decides."""
    return [
        part
        for part in cond
        if not ("timestep_start" in part and sigma[0] > part["timestep_start"])
        and not ("timestep_end" in part and sigma[0] < part["timestep_end"])
    ]


def cover_of(parts: Sequence[Part], x: torch.Tensor) -> Cover:
    """Return where at least one of these parts has weight on x [B, C, ...]: 1.0, 0.0, or a map [B, 1, ...].

    Raises:
        ValueError: the mask of a part does not fit x.
    """
    weights = torch.zeros_like(x[:, :1])
    for part in (part for part in parts if "default" not in part):
        _add_weight(weights, part, x)
    if any("default" in part for part in parts):
        weights += torch.relu(1.0 - weights)
    cover = weights != 0
    if bool(cover.all()):
        return 1.0
    return cover.to(x.dtype) if bool(cover.any()) else 0.0


def _add_weight(weights: torch.Tensor, part: Part, x: torch.Tensor) -> None:
    """Add ComfyUI's factor on the prediction of a part to ``weights`` [B, 1, ...]."""
    limits = {name: part[name] for name in (*PLACES, *STRENGTHS) if name in part}
    weighted = comfy.samplers.get_area_and_mult({**limits, "model_conds": {}, "uuid": None}, x, x.new_ones(x.shape[0]))
    if weighted.mult.shape != weighted.input_x.shape:
        raise ValueError(
            f"a mask of shape {list(part['mask'].shape)} does not fit a latent of shape {list(x.shape)}. Give the "
            "condition one mask, or one for each picture of the batch; ComfyUI's condition masks are not for videos."
        )
    region, area = weights, weighted.area
    for i in range(0 if area is None else len(area) // 2):
        region = region.narrow(i + 2, area[i + len(area) // 2], area[i])
    region += weighted.mult[:, :1]


class ConditionCoverage:
    """The coverage of every call of one run.

    Args:
        plan: of the run.
        branches: the models of the plan, with their processed conditions.
        masks: each term's mask at latent size.
    """

    def __init__(self, plan: Plan, branches: Sequence[Branch], masks: Sequence[torch.Tensor | None]) -> None:
        self.plan, self.branches, self.masks = plan, branches, masks
        self._whole = self._coverage([1.0] * len(plan.predictions))
        self._known: dict[tuple[Any, ...], tuple[list[list[Part]], Coverage]] = {}

    def check(self, x: torch.Tensor, sigmas: torch.Tensor) -> None:
        """Check every condition before the first evaluation.

        Args:
            x: [B, C, ...].
            sigmas: of the run's steps, [steps + 1].

        Raises:
            ValueError: a mask does not fit the latent, or the base condition leaves out a part of the run.
        """
        for j, cond in enumerate(self._conds):
            _log_repeats(cond, len(x), _place_of(self.plan, j))
        if all(map(is_whole, self._conds)):
            return
        for j, cond in enumerate(self._conds):
            try:
                self._cover(j, cond, x)
            except ValueError as error:
                raise ValueError(f"{_place_of(self.plan, j)}: {error}") from None
        for sigma in sigmas[:-1]:
            self.at(x, sigma.to(x).expand(x.shape[0]))

    def at(self, x: torch.Tensor, sigma: torch.Tensor) -> Coverage:
        """Return the coverage at x [B, C, ...], sigma [B].

        Raises:
            ValueError: the base condition is not in force everywhere.
        """
        conds = self._conds
        if all(map(is_whole, conds)):
            return self._whole
        parts = [cond if is_whole(cond) else self._parts(j, cond, x, sigma) for j, cond in enumerate(conds)]
        key = (x.shape, *(tuple(map(id, some)) for some in parts))
        if key not in self._known:
            coverage = self._coverage([self._cover(j, some, x) for j, some in enumerate(parts)])
            self._known[key] = parts, coverage  # keep the parts too, so that their ids stay unique
        coverage = self._known[key][1]
        if isinstance(coverage.predictions[BASE], torch.Tensor) or is_nowhere(coverage.predictions[BASE]):
            raise ValueError(_base_message(coverage.predictions[BASE], sigma))
        return coverage

    @property
    def _conds(self) -> list[list[Part]]:
        """Return the current condition of each prediction: samplers and other packs may replace the base's."""
        return [self.branches[prediction.model].conds[j] for j, prediction in enumerate(self.plan.predictions)]

    def _parts(self, j: int, cond: list[Part], x: torch.Tensor, sigma: torch.Tensor) -> list[Part]:
        return parts_in_force(cond, self.branches[self.plan.predictions[j].model].own_time(x, sigma)[1])

    def _cover(self, j: int, parts: list[Part], x: torch.Tensor) -> Cover:
        if is_whole(parts):
            return 1.0
        device = self.branches[self.plan.predictions[j].model].patcher.load_device
        cover = cover_of(parts, x.to(device))
        return cover.to(x.device) if isinstance(cover, torch.Tensor) else cover

    def _coverage(self, covers: list[Cover]) -> Coverage:
        return Coverage(covers, self.plan.sides, self.masks)


def _log_repeats(cond: Sequence[Part], batch: int, place: str) -> None:
    """Log a condition whose number of prompts differs from the batch: ComfyUI repeats or cuts it silently."""
    prompts = {len(text.cond) for part in cond if (text := part.get("model_conds", {}).get("c_crossattn")) is not None}
    for count in sorted(prompts):
        if batch % count:
            logging.warning(
                "GCFG: %s holds %d prompts for a batch of %d pictures: they are given to the pictures in turn, and %s.",
                place, count, batch, "the rest is left out" if count > batch else "not all of them equally often",
            )  # fmt: skip


def _place_of(plan: Plan, j: int) -> str:
    """Return the node and input that a prediction's condition comes from."""
    if j != BASE:
        for i, (term, sides) in enumerate(zip(plan.terms, plan.sides, strict=True)):
            if j in sides:
                return f"Guidance Term {term.label or i + 1!r}, input '{('positive', 'reference')[sides.index(j)]}'"
    return BASE_INPUT


def _base_message(cover: Cover, sigma: torch.Tensor) -> str:
    where = "in the whole picture" if isinstance(cover, torch.Tensor) else f"at sigma {float(sigma[0]):.4g}"
    return (
        f"{BASE_INPUT}: this base condition is not in force {where}, so there is no base prediction for the terms "
        "to be added to. Limit the terms' conditions instead (timestep range, area, mask), or combine it with one that "
        "covers the rest (Conditioning Combine)."
    )
