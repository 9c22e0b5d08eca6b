"""A guidance graph inside a MODEL, for nodes that sample with ComfyUI's CFGGuider: KSampler, detailers, upscalers.

The MODEL carries an outer_sample wrapper. It samples with a `GCFGGuider` in the place of the node's guider, from the
same noise, latent, mask, sampler and sigmas: the node's negative is the base's condition, its positive the prompt's,
its cfg the prompt's weight.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import comfy.hooks
import comfy.model_patcher
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP

from ...gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from ...gcfg_core.guidance.plan import BASE, Plan, compile_plan
from ..clones.identity import is_same, is_same_model
from .announce import announce
from .applied import KEY, NODE, has_terms
from .guider import GCFGGuider

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

PROMPT = "prompt"
"""Label of the term that the node adds for the sampling node's positive."""
GUARDED = "sampler_calc_cond_batch_function"
"""The entry of model options that ComfyUI's sampling_function asks for the predictions, if it is there."""
ADDED = ("cross_attn", "model_conds", "uuid")
"""What ComfyUI's `convert_cond` adds to a condition's options."""


def with_terms(model: ModelPatcher, terms: Sequence[GuidanceTerm], rescale: float) -> ModelPatcher:
    """Return a clone of a model whose sampling is a graph's, with the model as its base.

    Raises:
        ValueError: the model has guidance terms already.
    """
    if has_terms(model):
        raise ValueError(f"{NODE}, input 'model': it has guidance terms already; chain all terms, and apply them once.")
    clone = model.clone()
    own = _Terms(tuple(terms), rescale, clone.model_options.get(GUARDED))
    clone.model_options[GUARDED] = own.refuse
    others = clone.wrappers.get(WrappersMP.OUTER_SAMPLE, {})
    clone.wrappers[WrappersMP.OUTER_SAMPLE] = {KEY: [own.sample], **others}  # outside of the others, which it calls
    return clone


@dataclasses.dataclass(frozen=True, eq=False)
class _Terms:
    """A graph without its base.

    Attributes:
        replaced: the model's own function in the place of the guard.
    """

    terms: tuple[GuidanceTerm, ...]
    rescale: float
    replaced: Any

    def __deepcopy__(self, memo: dict) -> _Terms:
        """ComfyUI copies a model's options with each of its clones; the graph's models must not be copied."""
        return self

    def sample(
        self, executor: Any, noise: torch.Tensor, latent_image: torch.Tensor, sampler: Any, sigmas: torch.Tensor,
        denoise_mask: torch.Tensor | None = None, *args: Any, latent_shapes: Any = None, **named: Any,
    ) -> torch.Tensor:  # fmt: skip
        """Sample with a GCFGGuider, as ComfyUI calls an outer_sample wrapper.

        Raises:
            ValueError: the guider is another than CFGGuider, or the latent is nested; or raised by `GCFGGuider`.
        """
        given = executor.class_obj
        if type(given) is not comfy.samplers.CFGGuider or given.original_conds.keys() != {"positive", "negative"}:
            raise ValueError(
                f"{NODE}: the sampling node uses {type(given).__name__}, which has no positive, negative and cfg to "
                "take over; give it a GUIDER from GCFG Guider instead."
            )
        if latent_shapes is not None and [tuple(shape) for shape in latent_shapes] != [tuple(latent_image.shape)]:
            raise ValueError(
                f"{NODE}: nested latents (several parts, such as video with audio) are not supported; use a latent of "
                "one part."
            )
        guider = self.guider(given)
        announce(guider, sigmas, getattr(getattr(sampler, "sampler_function", None), "__name__", ""))
        if denoise_mask is not None and denoise_mask.ndim == noise.ndim and denoise_mask.shape[1] > 1:
            denoise_mask = denoise_mask[:, :1]  # newer ComfyUI versions have prepared it already; it is prepared again
        return guider.sample(noise, latent_image, sampler, sigmas, denoise_mask, *args, **named)

    def guider(self, given: Any) -> GCFGGuider:
        """Return the graph's guider with the model, conditions and cfg of the sampling node's."""
        base = self._without_hooks(given.model_patcher)
        base.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
        if base.model_options.get(GUARDED) == self.refuse:
            del base.model_options[GUARDED]
            base.model_options |= {} if self.replaced is None else {GUARDED: self.replaced}
        positive, negative = (self._condition(given.original_conds[name]) for name in ("positive", "negative"))
        plan = compile_plan(GuidanceGraph(Side(base, negative), self.terms), is_same_model)
        terms, of_prompt = list(self.terms), _term_of_prompt(plan)
        if of_prompt is None:
            terms.insert(0, GuidanceTerm(Side(None, positive), weight=given.cfg, label=PROMPT))
        else:
            terms[of_prompt] = dataclasses.replace(terms[of_prompt], positive=Side(None, positive), weight=given.cfg)
        return GCFGGuider(base, negative, terms, self.rescale)

    def _without_hooks(self, patcher: ModelPatcher) -> ModelPatcher:
        """Return a clone without the hooks that the sampling node's guider has registered for this run: ours registers
        them again, and they must not stay on the model."""
        clone = patcher.clone()
        clone.hook_mode = comfy.hooks.EnumHookMode.MaxSpeed
        if patcher.hook_patches_backup is not None:
            clone.hook_patches = comfy.model_patcher.create_hook_patches_clone(patcher.hook_patches_backup)
            clone.hook_patches_backup = None
        for model in self._models():  # registering changes for good the mark by which equal weights are known
            if model.model is clone.model and is_same(model.patches, clone.patches):
                clone.patches_uuid = model.patches_uuid
        return clone

    def refuse(self, *_: Any) -> NoReturn:
        """Refuse an evaluation outside of `sample`, where the terms would silently be missing.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{NODE}: the sampling node evaluates the model without ComfyUI's CFGGuider, so that the terms would have "
            "no effect; use GCFG Sampler or GCFG Guider instead."
        )

    def _condition(self, converted: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Return a guider's condition as a CONDITIONING: the terms' own object if it is equal, so that what a term
        shares with the sampling node is evaluated once."""
        plain = [[one.get("cross_attn"), _options(one)] for one in converted]
        return next((known for known in self._conditions() if is_same(known, plain)), plain)

    def _models(self) -> Iterator[Any]:
        for term in self.terms:
            yield from (side.model for side in (term.positive, term.reference) if side.model is not None)

    def _conditions(self) -> Iterator[list[list[Any]]]:
        for term in self.terms:
            for side in (term.positive, term.reference):
                if isinstance(side.condition, list):
                    yield side.condition


def _term_of_prompt(plan: Plan) -> int | None:
    """Return the first term that adds a prompt on the base model; a negative weight pushes away from one."""
    for i, (term, (positive, reference)) in enumerate(zip(plan.terms, plan.sides, strict=True)):
        is_pair = reference == BASE and positive != BASE and plan.predictions[positive].model == BASE
        if is_pair and term.weight >= 0.0:
            return i
    return None


def _options(converted: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in converted.items() if name not in ADDED}
    return own | ({"model_conds": converted["model_conds"]} if converted.get("model_conds") else {})
