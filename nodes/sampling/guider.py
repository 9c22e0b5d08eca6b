"""The guider: ComfyUI's CFGGuider with the guided prediction of a whole graph."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import comfy.sampler_helpers
import comfy.samplers
import torch

from ...gcfg_core.guidance.formula import formula, model_names, term_names
from ...gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from ...gcfg_core.guidance.modifiers import Project
from ...gcfg_core.guidance.plan import BASE, Plan, Prediction, compile_plan
from ...gcfg_core.trace.trace import Trace
from ..clones.delegates import without_streaming
from ..clones.identity import is_same_model
from ..comfyui.versions import is_nested
from ..other_packs.caches import log_possible_caches
from ..other_packs.pair_function import PairFunction
from ..other_packs.replaced import in_place, log_replaced, replaced_functions
from ..other_packs.tiling import check_tiling
from ..other_packs.unused import log_unused
from .applied import check_no_terms
from .cond_state import has_hooks
from .coverage import reach_of
from .inputs import input_of
from .latent_space import check_latent_spaces, log_schedule_notes
from .memory import load_with_base
from .outer_wrappers import inside_outer_wrappers, with_callback
from .run import Run
from .text_width import naming_foreign_text

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

STATE_OF_A_RUN = ("inner_model", "loaded_models", "conds")
"""Attributes that CFGGuider drops at the end of a run, but leaves after an error."""


class GCFGGuider(comfy.samplers.CFGGuider):
    """A guider that samples with a guidance graph wherever ComfyUI accepts a GUIDER.

    ``cfg`` is the primary term's weight and follows ``set_cfg``; the conditions ``positive`` and ``negative`` are the
    primary term's and the base's. A run keeps its state in ``run``, made when it starts and dropped when it ends.
    ``preview_at``: the share of sampling at which its predictions are kept for pictures; 0 for none.

    Raises:
        ValueError: a model of the graph is not in the base model's latent space, or Tiled Diffusion would confuse the
            graph's ControlNets.
    """

    def __init__(
        self, model_patcher: ModelPatcher, conditioning: list, terms: Sequence[GuidanceTerm] = (), rescale: float = 0.0,
        preview_at: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(model_patcher)
        self.preview_at = preview_at
        graph = GuidanceGraph(Side(model_patcher, conditioning), tuple(terms), rescale)
        self.plan = compile_plan(graph, is_same_model, reach_of)
        check_no_terms(self.plan)
        check_latent_spaces(self.plan)
        self.run: Run | None = None
        self.trace = Trace(formula(self.plan), term_names(self.plan), model_names(self.plan))
        check_tiling(self.plan, self.trace.models)
        self.set_cfg(self._planned_cfg)
        conds = {name: self.plan.predictions[j].condition for j, name in self.base_names.items()}
        if has_hooks({name: comfy.sampler_helpers.convert_cond(cond) for name, cond in conds.items()}):
            self.model_patcher = without_streaming(model_patcher, input_of(self.plan, BASE))
        self.inner_set_conds(conds)
        self.term_conds = {
            j: comfy.sampler_helpers.convert_cond(prediction.condition)
            for j, prediction in enumerate(self.plan.predictions)
            if prediction.model != BASE
        }

    @property
    def base_names(self) -> dict[int, str]:
        """Names in ``conds`` of the base model's predictions: 'positive', 'negative' as in CFGGuider, others our
        own."""
        names = {
            j: f"gcfg_{j}"
            for j, prediction in enumerate(self.plan.predictions)
            if prediction.model == BASE and j != BASE
        }
        if self.plan.primary is not None:
            names[self.plan.sides[self.plan.primary][0]] = "positive"
        return {BASE: "negative" if self.plan.terms else "positive", **names}

    @property
    def _planned_cfg(self) -> float:
        return 1.0 if self.plan.primary is None else self.plan.terms[self.plan.primary].weight

    def _current_plan(self) -> Plan:
        """The plan with the primary weight of the last set_cfg."""
        if self.plan.primary is None or self.cfg == self._planned_cfg:
            return self.plan
        terms = list(self.plan.terms)
        terms[self.plan.primary] = dataclasses.replace(terms[self.plan.primary], weight=self.cfg)
        return dataclasses.replace(self.plan, graph=dataclasses.replace(self.plan.graph, terms=tuple(terms)))

    def log_notes(self) -> None:
        """Log what the user should know about this combination of models, and which of their parts take no effect."""
        log_schedule_notes(self.plan, self.trace.models)
        log_possible_caches(self.plan)
        models = self.plan.models
        for index, (name, model) in list(enumerate(zip(self.trace.models, models, strict=True)))[1:]:
            log_unused(name, model, is_loaded=not any(map(model.is_clone, models[:index])))
        for i, (name, term) in enumerate(zip(self.trace.terms, self.plan.terms, strict=True)):
            idle = [modifier for modifier in term.modifiers if not modifier.acts(i, self.plan.primary)]
            if any(isinstance(modifier, Project) and modifier.is_set for modifier in idle):
                logging.warning(
                    "GCFG: Modify Guidance Term, input 'projection': %s is not projected, since the graph has no other "
                    "term that compares a prompt with the base condition on the base model (a primary term).",
                    name,
                )

    def _log_replaced(self) -> None:
        plan = self.plan
        assert self.run is not None
        for name, branch in zip(self.trace.models, self.run.branches, strict=True):
            if branch.not_applied:
                logging.warning(
                    "GCFG: an outer_sample wrapper on %s changes %s of the sampling run, which is the base's: that "
                    "has no effect. Patch the base model with it.", name, " and ".join(branch.not_applied),
                )  # fmt: skip
        others = [i for i in range(len(plan.terms)) if i != plan.primary]
        carrying = [i for i in others if any(map(_carries_weights, (plan.predictions[j] for j in plan.sides[i])))]
        log_replaced([self.trace.terms[i] for i in others], [self.trace.terms[i] for i in carrying])

    def sample(self, noise: torch.Tensor, latent_image: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Sample as CFGGuider.sample does.

        Raises:
            ValueError: the latent is nested, or a condition's text features are not the model's.
        """
        if is_nested(latent_image):
            raise ValueError("latent_image: nested latents (several parts, such as video with audio) are not supported "
                             "by GCFG; use a latent of one part.")  # fmt: skip
        base = self.model_patcher
        run = Run(self._current_plan(), self.cfg, base, self.term_conds, self.trace, self.preview_at)
        self.run, self.model_patcher = run, run.base.patcher
        is_complete = False
        try:
            with naming_foreign_text(run.plan):
                result = super().sample(noise, latent_image, *args, **kwargs)
            is_complete = True
            return result
        finally:
            self.model_patcher, self.run = base, None
            for name in STATE_OF_A_RUN:
                self.__dict__.pop(name, None)
            run.end(is_complete)

    def outer_sample(self, noise: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Load the models of all branches at once, inside their outer wrappers.

        A term's wrapper surrounds the run (EasyCache prepares its state there), but the run is the base model's: the
        wrapper's changes to arguments or result have no effect.

        Raises:
            RuntimeError: a wrapper on a term's model prevented the run.
        """
        assert self.run is not None
        base_function = comfy.samplers.sampling_function
        self.conds |= load_with_base(self.run.branches, self.trace.models, noise.shape, self.conds)
        load_and_sample: Callable[..., torch.Tensor] = super().outer_sample
        result: list[torch.Tensor] = []

        def innermost(*passed: Any, **named: Any) -> torch.Tensor:
            if not result:
                given = with_callback(load_and_sample, (noise, *args), kwargs, passed, named)
                with in_place(base_function):
                    self._log_replaced()
                    result.append(load_and_sample(*given.args, **given.kwargs))
            else:
                logging.warning("GCFG: a term's model asks for a second sampling in one run; it has no effect there. "
                                "Patch the base model with it.")  # fmt: skip
            return result[0]

        chain = innermost
        for branch in self.run.branches[1:]:
            chain = inside_outer_wrappers(branch, chain, self.run.resting)
        chain(noise, *args, **kwargs)
        if not result:
            raise RuntimeError(
                "an outer_sample wrapper on a term's model (Guidance Term, input 'model' or 'reference_model') did not "
                "call the sampling that it wraps; put that patch on the base model, or leave it out."
            )
        extras = {name: self.run.base.conds[j] for j, name in self.base_names.items() if j not in self.run.pair}
        self.conds |= extras  # for wrappers that sample several times
        return result[0]

    def inner_sample(
        self, noise: torch.Tensor, latent_image: torch.Tensor, device: torch.device, sampler: Any, sigmas: torch.Tensor,
        denoise_mask: torch.Tensor | None, callback: Any, disable_pbar: bool, seed: int | None, **kwargs: Any,
    ) -> torch.Tensor:  # fmt: skip
        """Process every branch's conditions on its own model; CFGGuider processes the base's pair."""
        assert self.run is not None
        pair = {self.base_names[j] for j in self.run.pair}
        extras = {j: self.conds[name] for j, name in self.base_names.items() if j not in self.run.pair}
        self.conds = {name: cond for name, cond in self.conds.items() if name in pair}
        self.run.base.conds = extras
        self.run.latent_shapes.set(self.run.modules, kwargs.get("latent_shapes"))
        processed = latent_image
        if latent_image is not None and torch.count_nonzero(latent_image) > 0:
            processed = self.inner_model.process_latent_in(latent_image)
        self.run.begin(self, noise, sigmas, latent_image=processed, denoise_mask=denoise_mask, seed=seed, **kwargs)
        return super().inner_sample(
            noise, latent_image, device, sampler, sigmas, denoise_mask, callback, disable_pbar, seed, **kwargs
        )

    def predict_noise(
        self,
        x: torch.Tensor,
        timestep: torch.Tensor,
        model_options: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> torch.Tensor:
        """Return the guided denoised prediction at (x, timestep), timestep being sigma, [B]."""
        assert self.run is not None
        if self.cfg != self.run.cfg:  # a sampler or callback changes the weight from call to call
            self.run.follow(self._current_plan(), self.cfg)
        pair = {j: self.conds[self.base_names[j]] for j in self.run.pair}
        options = {} if model_options is None else model_options
        if not replaced_functions():
            return self.run.predict(pair, x, timestep, options)
        predict = functools.partial(self._predict_pair, x, timestep, seed)
        return self.run.predict(pair, x, timestep, options, PairFunction(predict, x.shape))

    def _predict_pair(
        self, x: torch.Tensor, timestep: torch.Tensor, seed: int | None,
        positive: list, negative: list | None, weight: float, model_options: dict[str, Any],
    ) -> torch.Tensor:  # fmt: skip
        """Return CFGGuider's own prediction, by the functions that are in ComfyUI's places now."""
        conds, cfg = self.conds, self.cfg
        self.conds, self.cfg = {**conds, "positive": positive, "negative": negative}, weight
        try:
            return super().predict_noise(x, timestep, model_options, seed)
        finally:
            self.conds, self.cfg = conds, cfg


def _carries_weights(prediction: Prediction) -> bool:
    """True if entries of the condition carry weights, as those of smZNodes' AND do."""
    condition: Any = prediction.condition
    return len(condition) > 1 and any("weight" in options for _, options in condition)
