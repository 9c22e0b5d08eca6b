"""One model of the graph during one sampling run: its clone, options, conditions and forward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import comfy.hooks
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sampler_helpers
import comfy.samplers
import torch

from ...gcfg_core.guidance.parameterization import flow_to_ve, hold_sigma, ve_to_flow
from ..clones.devices import DeviceSplit, device_clones, on_own_device
from ..clones.identity import has_same_weights
from ..clones.own_clone import as_variant
from ..clones.shared_weights import WeightExchange
from ..comfyui.versions import process_conds
from ..other_packs.foreign_patches import counts_on_a_pair, replaced_layers
from ..other_packs.network_state import NetworkState
from ..other_packs.pair_function import BATCH_FUNCTION, PairFunction
from ..other_packs.roles import COND
from .batching import as_pair, in_one_batch, with_roles
from .cond_state import own_controls, own_hooks
from .latent_space import is_flow, largest_sigma, stays_within

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class Branch:
    """A model and the plan's predictions of that model.

    Attributes:
        patcher: this pack's clone, or the guider's own if the base model is the graph's only model.
        conds: prediction index -> list of ComfyUI condition dicts.
        roles: prediction index -> COND for the positive side of a term, else UNCOND.
        pair: the (cond, uncond) among its predictions, on the base model the primary term's; empty without a pair.
        carrier: the other branch that is loaded on this branch's module, if any; no cycle, so clones are freed at once.
        is_shared: another branch uses the same module with other weights, options or objects.
        network_states: the state that patches keep on each module; shared by all branches on a module.
        weights: the exchange of weights in the shared module, for a branch that is not loaded itself.
        split: its clones on further devices, for a branch other than the base's.
        model_options: this branch's own, with the entries that its hooks and wrappers registered.
        converts_time: the base model is of the other kind, flow or variance exploding.
        held_at: the largest sigma at which this model is evaluated, if the base's sampling may go beyond it.
        not_applied: changes to the sampling run by this model's outer_sample wrappers, which have no effect.
        function: another pack's sampling function, if this model's own wrapper has put it in ComfyUI's place.
    """

    def __init__(
        self, patcher: ModelPatcher, conds: Mapping[int, list], roles: Mapping[int, int], pair: Collection[int] = ()
    ) -> None:
        self.patcher = patcher
        self.roles = roles
        self.pair = pair
        self.conds = {j: [part.copy() for part in cond] for j, cond in conds.items()}
        self.model_options: dict[str, Any] = {}
        self.carrier: Branch | None = None
        self.is_shared = False
        self.network_states: dict[Any, NetworkState] = {}
        self.weights: WeightExchange | None = None
        self.split: DeviceSplit | None = None
        self.converts_time = False
        self.held_at: float | None = None
        self.function: Callable[..., torch.Tensor] | None = None
        self.seed: int | None = None
        self.not_applied: list[str] = []
        self._layers: list[Any] | None = None

    @property
    def model(self) -> Any:
        return self.patcher.model

    inner_model = model

    @property
    def model_patcher(self) -> ModelPatcher:
        return self.patcher

    @property
    def modules(self) -> list[Any]:
        """The module of its model on every device, its own first."""
        return [each.model for each in (self.patcher, *device_clones(self.patcher))]

    def prepare(self) -> None:
        """Set up options, hooks and wrappers of this branch, as CFGGuider.sample does for its model before loading."""
        self.model_options = comfy.model_patcher.create_model_options_clone(self.patcher.model_options)
        own_controls(self.conds)
        comfy.samplers.preprocess_conds_hooks(self.conds)
        own_hooks(self.conds)
        if comfy.samplers.get_total_hook_groups_in_conds(self.conds) <= 1 and not self.is_shared:
            self.patcher.hook_mode = comfy.hooks.EnumHookMode.MinVram
        comfy.sampler_helpers.prepare_model_patcher(self.patcher, self.conds, self.model_options)
        comfy.samplers.filter_registered_hooks_on_conds(self.conds, self.model_options)
        self.split = DeviceSplit(self.patcher, self.conds, self.model_options)

    def to_load(self) -> tuple[list[ModelPatcher], int]:
        """Return the models to load, its own only if it has no carrier, and the bytes that their ControlNets need."""
        models, memory = comfy.sampler_helpers.get_additional_models(self.conds, self.patcher.model_dtype())
        models += comfy.sampler_helpers.get_additional_models_from_model_options(self.model_options)
        models += self.patcher.get_nested_additional_models()
        if self.carrier is None:
            return [self.patcher, *models], int(memory)
        return models + self.patcher.model_patches_models(), int(memory)

    @on_own_device
    def begin(self, base: ModelPatcher, noise: torch.Tensor, sigmas: torch.Tensor, **options: Any) -> None:
        """Process the conditions on this model and its noise schedule, after loading. ``options`` as for
        process_conds."""
        self.converts_time = is_flow(self.patcher) != is_flow(base)
        self.seed = options.get("seed")
        self.held_at = None if stays_within(base, self.patcher) else largest_sigma(self.patcher)
        device = self.patcher.load_device
        if self.carrier is not None:
            self._exchange_weights(self.carrier, device)
        comfy.samplers.cast_to_load_options(self.model_options, device=device, dtype=self.patcher.model_dtype())
        self.patcher.pre_run()
        if self.split is not None:
            self.split.begin()
        own = {name: value.to(device) if torch.is_tensor(value) else value for name, value in options.items()}
        with self.in_place():
            self.process(self.conds, noise.to(device), **own)
        sigmas = self.own_time(sigmas, sigmas)[1]
        self.model_options["transformer_options"]["sample_sigmas"] = sigmas.to(device)

    def _exchange_weights(self, carrier: Branch, device: torch.device) -> None:
        """Move patch objects to the device and prepare the weights, as loading does for the carrier."""
        patcher = self.patcher
        patcher.model_patches_to(device)
        patcher.model_patches_to(patcher.model_dtype())
        if has_same_weights(carrier.patcher, patcher):
            patcher.is_injected, patcher.pinned = False, set()
        else:
            self.weights = WeightExchange(carrier.patcher, as_variant(patcher))

    def process(self, conds: dict[int, list], noise: torch.Tensor, **options: Any) -> None:
        """Process each condition by itself, so that a prediction depends on its model and condition, never on other
        terms."""
        for j, cond in conds.items():
            name = "positive" if self.roles[j] == COND else "negative"
            processed = process_conds(self.model, noise, {name: cond}, self.patcher.load_device, **options)
            self.conds[j] = processed[name]

    def end(self, is_clean: bool) -> None:
        """Undo ``begin`` and ``prepare``; safe after an error in either. ``is_clean``: its cleanup has run already."""
        if self.split is not None:
            self.split.end()
        if not is_clean:
            self.patcher.cleanup()
        comfy.sampler_helpers.cleanup_models(self.conds, [])
        comfy.samplers.cast_to_load_options(self.model_options, device=self.patcher.offload_device)
        self.patcher.restore_hook_patches()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the module this branch's weights, objects and patcher while the block runs."""
        if not self.is_shared:
            yield
            return
        previous = self.model.current_patcher
        if previous is not None and previous is not self.patcher and previous.current_hooks is not None:
            previous.patch_hooks(None)
        try:
            if self.weights is not None:
                self.weights.enter()
            self.model.current_patcher = self.patcher
            yield
        finally:
            if self.patcher.current_hooks is not None:
                self.patcher.patch_hooks(None)
            self.model.current_patcher = previous
            if self.weights is not None:
                self.weights.leave()

    def own_time(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Convert (x, sigma) from the base model's time to this model's."""
        if self.converts_time:
            x, sigma = (ve_to_flow if is_flow(self.patcher) else flow_to_ve)(x, sigma)
        return (x, sigma) if self.held_at is None else hold_sigma(x, sigma, self.held_at)

    @on_own_device
    def evaluate(
        self, indices: Sequence[int], x: torch.Tensor, sigma: torch.Tensor,
        model_options: dict[str, Any] | None = None, function: PairFunction | None = None,
    ) -> dict[int, torch.Tensor]:  # fmt: skip
        """Return the denoised predictions ``indices`` at (x [B, C, ...], sigma [B]), in one forward if memory allows.

        If a patch may rely on ComfyUI's (cond, uncond), the pair is evaluated together and each other prediction by
        itself, so that no prediction depends on the rest of the graph.

        Args:
            model_options, function: of the sampling run, for the base model; a function is called for each prediction.
        """
        device, origin = self.patcher.load_device, x.device
        x, sigma = x.to(device), sigma.to(device)
        options = self.model_options if model_options is None else model_options
        x, sigma = self.own_time(x, sigma)
        function = function or self._own_function(x, sigma)
        is_paired = function is not None or BATCH_FUNCTION in options or self._counts_on_a_pair(indices, options)
        pair = self.pair if function is None else ()
        outputs: dict[int, torch.Tensor] = {}
        for group in _groups(indices, pair) if is_paired else [list(indices)]:
            conds, roles = [self.conds[j] for j in group], [self.roles[j] for j in group]
            if is_paired:
                self.find_state_of(group)
            with self.in_place():
                if function is not None:
                    results = [function.alone(conds[0], with_roles(options, roles))]
                else:
                    results = (as_pair if is_paired else in_one_batch)(self.model, conds, roles, x, sigma, options)
            outputs |= {j: output.to(origin) for j, output in zip(group, results, strict=True)}
        return outputs

    def find_state_of(self, group: Collection[int]) -> None:
        """Give each module the state that patches have kept on it for this group of predictions."""
        for module in self.modules:
            state = self.network_states.setdefault(module, NetworkState(module))
            state.switch((id(self), *sorted(group)))

    def leave_networks(self) -> None:
        """Restore every module to its state before the run."""
        for state in self.network_states.values():
            state.leave()

    def _own_function(self, x: torch.Tensor, sigma: torch.Tensor) -> PairFunction | None:
        if self.function is None:
            return None
        own = self.function

        def predict(positive: list, negative: list | None, weight: float, options: dict[str, Any]) -> torch.Tensor:
            return own(self.model, x, sigma, negative, positive, weight, model_options=options, seed=self.seed)

        return PairFunction(predict, x.shape)

    def _counts_on_a_pair(self, indices: Sequence[int], options: dict[str, Any]) -> bool:
        if self._layers is None:  # once per run: a large network has thousands of layers
            self._layers = replaced_layers(self.patcher)
        return counts_on_a_pair(self.patcher, options, [self.conds[j] for j in indices], self._layers)


def _groups(indices: Sequence[int], pair: Collection[int]) -> list[list[int]]:
    """Return the pair's predictions that are requested as one group, then every other prediction as its own group."""
    together = [j for j in indices if j in pair]
    return [group for group in (together, *([j] for j in indices if j not in pair)) if group]
