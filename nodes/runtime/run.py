"""One sampling run of a guidance graph: the models it needs, and the guided prediction at every guider call."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import comfy.hooks
import comfy.sampler_helpers
import comfy.samplers
import torch

from ...gcfg_core.clock import Span, moment
from ...gcfg_core.combine import Call, combine
from ...gcfg_core.coverage import Coverage
from ...gcfg_core.masks import fit_mask
from ...gcfg_core.plan import BASE, Plan
from ...gcfg_core.refresh import DifferenceStore
from ...gcfg_core.rescale import rescale_result
from ...gcfg_core.schedule import Progress
from ...gcfg_core.trace import Trace
from ...gcfg_core.weights import is_fixed, term_weight
from .batching import UNCOND
from .branch import Branch
from .branches import make_branches, share_modules
from .coverage import ConditionCoverage
from .devices import place
from .kept_predictions import PredictionKeeper
from .latent_shapes import LatentShapes
from .latent_space import is_flow
from .pair_function import PairFunction
from .result_hooks import ResultHooks, hook_needs
from .through_function import PairCall

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class Run:
    """Created when sampling starts, thrown away when it ends: nothing is kept from one run to the next.

    ``conds`` are the converted conditions of every prediction; those of the base model's own pair stay with the guider
    under their usual names, where samplers and other packs look for them. ``preview_at``: see PredictionKeeper.
    """

    def __init__(
        self, plan: Plan, cfg: float, base: ModelPatcher, conds: Mapping[int, list], trace: Trace, preview_at: float
    ) -> None:
        self.trace = trace
        self.trace.begin()
        self.progress = Progress(base.get_model_object("model_sampling").percent_to_sigma)
        self.keeper = PredictionKeeper(preview_at)
        self.resting = comfy.samplers.sampling_function  # before wrappers around the run replace it
        self.follow(plan, cfg)
        self.pair = {BASE} if plan.primary is None else {BASE, plan.sides[plan.primary][0]}
        self.branches = make_branches(plan, base, conds)
        self.loaded = share_modules(self.branches)
        self.store = DifferenceStore(plan.terms)
        self.latent_shapes = LatentShapes()
        place(self.branches, self.trace.models)
        for branch in self.branches[1:]:
            branch.prepare()

    def follow(self, plan: Plan, cfg: float) -> None:
        """From now on these weights; the models and predictions of ``plan`` are those of the run."""
        self.plan, self.cfg = plan.for_one_run(), cfg
        # weights that no call changes: then sigma need not be fetched from the device
        self.fixed_weights = tuple(term.weight for term in plan.terms) if all(map(is_fixed, plan.terms)) else None

    @property
    def base(self) -> Branch:
        return self.branches[BASE]

    @property
    def modules(self) -> list[Any]:
        """The network of every model, on every device."""
        return [module for branch in self.branches for module in branch.modules]

    def begin(self, guider: Any, noise: torch.Tensor, sigmas: torch.Tensor, **options: Any) -> None:
        """After loading: weights to exchange, conditions, masks and schedule. ``options`` as for process_conds."""
        base = self.base.patcher
        if self.base.is_shared:
            base.hook_mode = comfy.hooks.EnumHookMode.MaxSpeed
        for branch in self.branches[1:]:
            branch.begin(base, noise, sigmas, **options)
        guider.inner_model.current_patcher = base
        self.base.process(self.base.conds, noise, **options)
        # wrappers around the run and hooks may have changed the schedule since the run was made
        self.progress = Progress(guider.inner_model.model_sampling.percent_to_sigma)
        self.keeper.begin(sigmas, self.progress)
        self.is_flow = is_flow(base)
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
            at_last.callback(self.trace.finish, self.progress.percent)
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
        """The guided denoised prediction at (x [B, C, ...], sigma [B]).

        Args:
            pair: conditions of the base prediction and of the primary term's positive, as they are at the guider now.
            model_options: the base model's, as the sampler passes them.
            function: another pack's that predicts the primary pair; None where ComfyUI's own stands.
        """
        start = moment(x.device)
        plan = self.plan
        self.base.conds.update(pair)
        coverage = self._coverage(x, sigma)
        weights = coverage.weights(self._weights(sigma))
        reused = self.store.reusable(weights, float(sigma[0]), x.shape, coverage) if self.store.is_used else {}
        needs = hook_needs(model_options, is_function=function is not None)
        rests = plan.primary is not None and coverage.rests(plan.primary)
        sees_primary = needs.see_primary(plan, weights, sigma[0], self.progress, rests=rests)
        kept = needs.kept(plan, weights, sees_primary, reused)
        required = plan.required(weights, coverage.masks, reused=frozenset(reused), kept=kept, partial=coverage.partial)
        weight = weights[plan.primary] if sees_primary and plan.primary is not None else 1.0
        call = Call(plan, weights, {}, coverage, reused)
        if function is None:
            hooks = ResultHooks(self.base.model, model_options, x, sigma, sees_primary, weight)
            predictions, evaluations, spans = self._evaluate(required, x, sigma, model_options)
            call = dataclasses.replace(call, predictions=coverage.filled(predictions, BASE))
            if needs.are_used:
                call = self._with_hooked_pair(call, hooks)
        else:
            hooks = PairCall(self.base.model, model_options, x, sigma, sees_primary, weight)
            call, evaluations, spans = self._through(function, hooks, call, required)
        combined = combine(call, hooks.guide)
        result = combined.result
        if (target := plan.rescale_target(weights)) is not None:
            share = plan.graph.rescale
            result = rescale_result(x, result, call.predictions[target], sigma, share, flow=self.is_flow)
        if needs.are_used:
            result = hooks.finish(result)

        self.store.keep(hooks.stored(combined.computed))
        span = start, moment(x.device)
        self.trace.add(sigma, weights, combined.differences, combined.added, evaluations, span, spans)
        is_wanted = self.keeper.wants(sigma)
        self.keeper.hold(plan, call.predictions, result, sigma)
        if is_wanted:
            self.trace.kept = self.keeper.keep(self.base.model)
        return result

    def _through(
        self, function: PairFunction, hooks: PairCall, call: Call, required: frozenset[int]
    ) -> tuple[Call, list[int], list[Span | None]]:
        """The call as ``function`` predicts its primary pair, the rest evaluated beside it; else as ``_evaluate``."""
        x, start = hooks.x, moment(hooks.x.device)
        self.base.find_state_of(self.pair)
        with self.base.in_place():
            hooks.ask(function, call, self.base.conds)
        known = {hooks.positive, *hooks.predictions}
        missing = frozenset() if hooks.is_whole else required - (known if hooks.primary is not None else {BASE})
        predictions, evaluations, spans = self._evaluate(missing, x, hooks.sigma, hooks.model_options, function)
        evaluations[BASE] += hooks.answer.evaluations
        spans[BASE] = start, (spans[BASE] or (start, moment(x.device)))[1]
        settled = hooks.settle({**predictions, **hooks.predictions})
        settled = call.coverage.filled(settled, BASE)
        pair, i = hooks.pair, self.plan.primary
        if hooks.see_primary and i in call.reused:
            pair = pair[1] + call.reused[i].difference, pair[1]
        given = {"pair": pair, "pair_weight": hooks.weight, "pair_is_primary": hooks.see_primary}
        return dataclasses.replace(call, predictions=settled, **given), evaluations, spans

    def _coverage(self, x: torch.Tensor, sigma: torch.Tensor) -> Coverage:
        if not self.is_checked:  # now that the base's own conditions are processed too
            self.coverage.check(x, self.sigmas)
            self.is_checked = True
        return self.coverage.at(x, sigma)

    def _weights(self, sigma: torch.Tensor) -> tuple[float, ...]:
        if self.fixed_weights is not None:
            return self.fixed_weights
        return tuple(term_weight(term, float(sigma[0]), self.progress) for term in self.plan.terms)

    def _evaluate(
        self, required: frozenset[int], x: torch.Tensor, sigma: torch.Tensor, model_options: dict[str, Any],
        function: PairFunction | None = None,
    ) -> tuple[dict[int, torch.Tensor], list[int], list[Span | None]]:  # fmt: skip
        """The predictions, and per model how many they are and when it was asked for them.

        Args:
            function: the one to ask for the base model's.
        """
        predictions: dict[int, torch.Tensor] = {}
        evaluations = [0] * len(self.branches)
        spans: list[Span | None] = [None] * len(self.branches)
        for index, branch in enumerate(self.branches):
            own = [j for j in self._order if j in required and self.plan.predictions[j].model == index]
            evaluations[index] = len(own)
            if own:
                start = moment(branch.patcher.load_device)
                given = (model_options, function) if index == BASE else ()
                predictions |= branch.evaluate(own, x, sigma, *given)
                spans[index] = start, moment(branch.patcher.load_device)
        return predictions, evaluations, spans

    @property
    def _order(self) -> list[int]:
        """Positives before references. ComfyUI turns them round in its batch: all with role 1, then all with role 0.

        The primary pair stands outermost, since caches measure the first of a batch: the base, as under CFGGuider.
        """
        roles = self.base.roles
        return sorted(range(len(roles)), key=lambda j: (roles[j], (j in self.pair) == (roles[j] == UNCOND)))

    def _with_hooked_pair(self, call: Call, hooks: ResultHooks) -> Call:
        """The call with the primary pair, or in its absence the base twice, as the pre-cfg functions leave it."""
        base = call.prediction(BASE)
        if not hooks.see_primary:
            pair = hooks.begin([self.base.conds[BASE]] * 2, base, base)
            return dataclasses.replace(call, pair=pair, pair_weight=hooks.weight)
        assert self.plan.primary is not None
        i = self.plan.primary
        positive = self.plan.sides[i][0]
        cond = base + call.reused[i].difference if i in call.reused else call.prediction(positive)
        conds = [self.base.conds[positive], self.base.conds[BASE] if BASE in call.predictions else None]
        pair = hooks.begin(conds, cond, base)
        return dataclasses.replace(call, pair=pair, pair_weight=hooks.weight, pair_is_primary=True)
