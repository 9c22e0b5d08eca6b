"""One sampling run of a guidance graph: the models it needs, and the guided prediction at every guider call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import comfy.hooks
import comfy.sampler_helpers
import comfy.samplers
import torch

from ...gcfg_core.guidance.call import Guided, GuiderCalls
from ...gcfg_core.guidance.coverage import Coverage
from ...gcfg_core.guidance.masks import fit_mask
from ...gcfg_core.guidance.plan import BASE, Plan
from ...gcfg_core.guidance.sampling_progress import SamplingProgress
from ...gcfg_core.trace.clock import Span, moment
from ...gcfg_core.trace.trace import Trace
from ..other_packs.pair_function import Answer, PairFunction
from ..other_packs.result_hooks import ResultHooks, hook_needs
from ..other_packs.roles import UNCOND
from ..other_packs.through_function import PairCall
from .branch import Branch
from .branches import make_branches, place, share_modules
from .coverage import ConditionCoverage
from .kept_predictions import PredictionKeeper
from .latent_shapes import LatentShapes
from .latent_space import is_flow

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class Run:
    """Created when sampling starts, dropped when it ends: nothing is kept from one run to the next.

    ``conds`` are the converted conditions of every prediction; those of the base model's own pair stay with the guider
    under their usual names, where samplers and other packs look for them. ``preview_at``: see PredictionKeeper.
    """

    def __init__(
        self, plan: Plan, cfg: float, base: ModelPatcher, conds: Mapping[int, list], trace: Trace, preview_at: float
    ) -> None:
        self.trace = trace
        self.trace.begin()
        progress = SamplingProgress(base.get_model_object("model_sampling").percent_to_sigma)
        self.calls = GuiderCalls(plan, progress)
        self.cfg = cfg
        self.keeper = PredictionKeeper(preview_at)
        self.resting = comfy.samplers.sampling_function  # before wrappers around the run replace it
        self.pair = {BASE} if plan.primary is None else {BASE, plan.sides[plan.primary][0]}
        self.branches = make_branches(plan, base, conds)
        self._order = self._request_order()
        self.loaded = share_modules(self.branches)
        self.latent_shapes = LatentShapes()
        place(self.branches, self.trace.models)
        for branch in self.branches[1:]:
            branch.prepare()

    def follow(self, plan: Plan, cfg: float) -> None:
        """Use the weights of ``plan`` from now on; its models and predictions are those of the run."""
        self.calls.follow(plan)
        self.cfg = cfg

    @property
    def plan(self) -> Plan:
        return self.calls.plan

    @property
    def base(self) -> Branch:
        return self.branches[BASE]

    @property
    def modules(self) -> list[Any]:
        """The network of every model, on every device."""
        return [module for branch in self.branches for module in branch.modules]

    def begin(self, guider: Any, noise: torch.Tensor, sigmas: torch.Tensor, **options: Any) -> None:
        """Prepare weights, conditions, masks and sampling progress, after loading. ``options`` as for process_conds."""
        base = self.base.patcher
        if self.base.is_shared:
            base.hook_mode = comfy.hooks.EnumHookMode.MaxSpeed
        for branch in self.branches[1:]:
            branch.begin(base, noise, sigmas, **options)
        guider.inner_model.current_patcher = base
        self.base.process(self.base.conds, noise, **options)
        # wrappers around the run and hooks may have changed the noise schedule since the run was made
        self.calls.progress = SamplingProgress(guider.inner_model.model_sampling.percent_to_sigma)
        self.calls.is_flow = is_flow(base)
        self.keeper.begin(sigmas, self.calls.progress)
        masks = [self._fitted_mask(i, noise) for i in range(len(self.plan.terms))]
        self.coverage = ConditionCoverage(self.plan, self.branches, masks)
        self.sigmas, self.is_checked = sigmas, False

    def _fitted_mask(self, i: int, noise: torch.Tensor) -> torch.Tensor | None:
        term = self.plan.terms[i]
        try:
            return None if term.mask is None else fit_mask(term.mask, noise.shape).to(noise.device)
        except ValueError as error:
            raise ValueError(f"Guidance Term {term.label or i + 1!r}, input {error}") from error

    def end(self, is_complete: bool) -> None:
        """Leave every patcher and condition as it was; safe after an error anywhere.

        Args:
            is_complete: sampling reached its end, where ComfyUI has cleaned up the models that it loaded.
        """
        with contextlib.ExitStack() as at_last:
            at_last.callback(self.latent_shapes.restore)
            at_last.callback(self.trace.finish, self.calls.progress.percent)
            for branch in self.loaded:
                at_last.callback(branch.leave_networks)
            for branch in self.branches[1:]:
                at_last.callback(branch.end, is_clean=is_complete and branch in self.loaded)
            comfy.sampler_helpers.cleanup_models(self.base.conds, [])
            if is_complete and self.trace.kept is None:
                self.trace.kept = self.keeper.keep(self.base.model)

    def predict(
        self, pair: Mapping[int, list], x: torch.Tensor, sigma: torch.Tensor, model_options: dict[str, Any],
        function: PairFunction | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Return the guided denoised prediction at (x [B, C, ...], sigma [B]).

        Args:
            pair: current conditions of the base prediction and of the primary term's positive, from the guider.
            model_options: the base model's, as the sampler passes them.
            function: another pack's function that predicts the primary pair; None for ComfyUI's own.
        """
        start = moment(x.device)
        self.base.conds.update(pair)
        tally = Tally(len(self.branches))

        def evaluate(required: frozenset[int]) -> dict[int, torch.Tensor]:
            return self._evaluate(required, x, sigma, (model_options, function), tally)

        hooks = self._hooks(x, sigma, model_options, function, tally)
        guided = self.calls.predict(x, sigma, self._coverage(x, sigma), evaluate, hooks)
        self._record(guided, sigma, tally, (start, moment(x.device)))
        return guided.result

    def _hooks(
        self, x: torch.Tensor, sigma: torch.Tensor, model_options: dict[str, Any], function: PairFunction | None,
        tally: Tally,
    ) -> ResultHooks:  # fmt: skip
        needs = hook_needs(model_options, is_function=function is not None)
        common = self.base.model, model_options, x, sigma, self.base.conds, needs
        if function is None:
            return ResultHooks(*common)

        def ask(question: Callable[[], Answer]) -> Answer:
            start = moment(x.device)
            self.base.find_state_of(self.pair)
            with self.base.in_place():
                answer = question()
            tally.add(BASE, answer.evaluations, (start, moment(x.device)))
            return answer

        return PairCall(*common, function, ask)

    def _coverage(self, x: torch.Tensor, sigma: torch.Tensor) -> Coverage:
        if not self.is_checked:  # now that the base's own conditions are processed too
            self.coverage.check(x, self.sigmas)
            self.is_checked = True
        return self.coverage.at(x, sigma)

    def _evaluate(
        self, required: frozenset[int], x: torch.Tensor, sigma: torch.Tensor, given: tuple[Any, ...], tally: Tally
    ) -> dict[int, torch.Tensor]:
        """Evaluate the predictions; those of one model are requested together.

        Args:
            given: model options and function of the sampling run, for the base model.
        """
        predictions: dict[int, torch.Tensor] = {}
        for index, branch in enumerate(self.branches):
            own = [j for j in self._order if j in required and self.plan.predictions[j].model == index]
            if own:
                start = moment(branch.patcher.load_device)
                predictions |= branch.evaluate(own, x, sigma, *(given if index == BASE else ()))
                tally.add(index, len(own), (start, moment(branch.patcher.load_device)))
        return predictions

    def _request_order(self) -> list[int]:
        """Return positives before references. ComfyUI reverses its batch: all with role 1, then all with role 0.

        The primary pair is outermost because caches measure the first of a batch: the base, as under CFGGuider.
        """
        roles = self.base.roles
        return sorted(range(len(roles)), key=lambda j: (roles[j], (j in self.pair) == (roles[j] == UNCOND)))

    def _record(self, guided: Guided, sigma: torch.Tensor, tally: Tally, span: Span) -> None:
        weights, combined = guided.call.weights, guided.combined
        self.trace.add(sigma, weights, combined.differences, combined.added, tally.counts, span, tally.spans)
        is_wanted = self.keeper.wants(sigma)
        self.keeper.hold(guided.call.plan, guided.call.predictions, guided.result, sigma)
        if is_wanted:
            self.trace.kept = self.keeper.keep(self.base.model)


class Tally:
    """The evaluations of one guider call: per model the number of predictions, and the time span of the requests."""

    def __init__(self, models: int) -> None:
        self.counts = [0] * models
        self.spans: list[Span | None] = [None] * models

    def add(self, model: int, evaluations: int, span: Span) -> None:
        self.counts[model] += evaluations
        known = self.spans[model]
        self.spans[model] = span if known is None else (known[0], span[1])
