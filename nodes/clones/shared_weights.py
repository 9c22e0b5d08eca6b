"""Exchange the weights of clones that share a module, around each evaluation of a clone.

If two clones were loaded together, both would be evaluated with the weights of the last. Here ComfyUI loads one clone,
the carrier; for every other clone the patched tensors are computed once, and replace the carrier's during its
evaluations. No weight is copied and the checkpoint is never in memory twice: the extra memory is the patched tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import comfy.utils
import torch

from ..comfyui.versions import as_parameter, own_handle

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_MISSING = object()


class Backup(NamedTuple):
    """ModelPatcher's backup of a weight that it patches; set here so that ModelPatcher copies nothing for it."""

    weight: torch.Tensor
    inplace_update: bool


class WeightExchange:
    """The parts of the shared module that differ between ``carrier``, which is loaded, and ``variant``.

    Between ``enter`` and ``leave`` the module is the variant's. ``variant`` must be a clone of this pack.
    """

    def __init__(self, carrier: ModelPatcher, variant: ModelPatcher) -> None:
        self.carrier, self.variant = carrier, variant
        self.injects = bool(carrier.injections or variant.injections)
        self.slots: list[tuple[dict[str, Any], str, object]] = []
        self.objects: dict[str, object] = {}
        self._left: list[tuple[dict[str, Any], str, object, object]] = []
        self._left_objects: dict[str, object] = {}
        self._collect_parameters()
        self._collect_functions()
        self._collect_casting()
        self._collect_objects()

    def enter(self) -> None:
        if self.injects:
            self.carrier.eject_model()
        for container, name, value in self.slots:
            self._left.append((container, name, container.get(name, _MISSING), value))
            container[name] = value
        for key, value in self.objects.items():
            self._left_objects[key] = comfy.utils.set_attr(self.carrier.model, key, value)
        if self.injects:
            self.variant.inject_model()

    def leave(self) -> None:
        """Undo ``enter``, also after it failed; changes that the carrier made in the meantime stay (a reload)."""
        if self.injects:
            self.variant.eject_model()
        for key, value in self._left_objects.items():
            if comfy.utils.get_attr(self.carrier.model, key) is self.objects[key]:
                comfy.utils.set_attr(self.carrier.model, key, value)
        for container, name, left, entered in self._left:
            if container.get(name) is not entered:
                continue
            if left is _MISSING:
                del container[name]
            else:
                container[name] = left
        self._left.clear()
        self._left_objects.clear()
        if self.injects:
            self.carrier.inject_model()

    def _collect_parameters(self) -> None:
        for key, owner, name in _differing_parameters(self.carrier, self.variant):
            self.slots.append((owner._parameters, name, self._patched(owner, name, key)))

    def _patched(self, owner: torch.nn.Module, name: str, key: str) -> torch.nn.Parameter:
        """Compute the variant's tensor for ``key`` with its patcher, on the device of the carrier's tensor."""
        current, backup = owner._parameters[name], self.carrier.backup.get(key)
        assert current is not None
        original = own_handle(current if backup is None else backup.weight)
        if key not in self.variant.patches:
            return as_parameter(original.to(current.device))
        self.variant.backup[key] = Backup(original, False)
        owner._parameters[name] = as_parameter(original)
        try:
            self.variant.patch_weight_to_device(key, device_to=self.variant.load_device)
            patched = owner._parameters[name]
        finally:
            owner._parameters[name] = current
        assert patched is not None
        return as_parameter(patched.to(current.device))

    def _collect_functions(self) -> None:
        """Collect patches that act while a weight is cast: those of partly offloaded weights, and other packs'
        wrappers."""
        carriers, variants = self.carrier.weight_wrapper_patches, self.variant.weight_wrapper_patches
        exchanged = {(id(container), name) for container, name, _ in self.slots}
        for module_name, module in self.carrier.model.named_modules():
            for name in ("weight", "bias"):
                key = f"{module_name}.{name}"
                own, theirs = carriers.get(key, []), variants.get(key, [])
                is_exchanged = (id(module._parameters), name) in exchanged
                if hasattr(module, f"{name}_function") and (is_exchanged or own != theirs):
                    kept = [] if is_exchanged else getattr(module, f"{name}_function")
                    kept = [function for function in kept if function not in own]
                    self.slots.append((module.__dict__, f"{name}_function", [*kept, *theirs]))

    def _collect_casting(self) -> None:
        """Collect the flags for casting and unpacking weights, if the compute dtype of either clone is set."""
        forced = self.variant.force_cast_weights
        if forced == self.carrier.force_cast_weights:
            return
        for module in self.carrier.model.modules():
            if hasattr(module, "comfy_force_cast_weights"):
                self.slots.append((module.__dict__, "comfy_force_cast_weights", forced))
            if hasattr(module, "comfy_cast_weights"):
                own = getattr(module, "prev_comfy_cast_weights", module.comfy_cast_weights)
                is_offloaded = self.carrier.model.model_lowvram and not getattr(module, "comfy_patched_weights", False)
                self.slots.append((module.__dict__, "comfy_cast_weights", forced or is_offloaded or own))

    def _collect_objects(self) -> None:
        carrier, variant = self.carrier.object_patches, self.variant.object_patches
        for key in {*carrier, *variant}:
            if carrier.get(key) is not variant.get(key) or (key in carrier) != (key in variant):
                self.objects[key] = variant[key] if key in variant else self.carrier.object_patches_backup[key]


def has_same_tensors(first: ModelPatcher, second: ModelPatcher) -> bool:
    """True if clones patch every weight alike, also while it is cast: at most their objects and options differ."""
    keys = {*first.patches, *second.patches}
    return first.weight_wrapper_patches == second.weight_wrapper_patches and all(
        _is_same_patch_list(first.patches.get(key), second.patches.get(key)) for key in keys
    )


def exchanged_bytes(carrier: ModelPatcher, variant: ModelPatcher) -> int:
    """Return the extra memory that ``variant`` needs: the size of its patched tensors in bytes."""
    parameters = [owner._parameters[name] for _, owner, name in _differing_parameters(carrier, variant)]
    return sum(parameter.nbytes for parameter in parameters if parameter is not None)


def _differing_parameters(carrier: ModelPatcher, variant: ModelPatcher) -> Iterator[tuple[str, torch.nn.Module, str]]:
    """Yield key, module and name of every parameter that the two clones patch differently.

    Parameters of a module whose children have parameters too are left out: ComfyUI loads them without patches.
    """
    for key in sorted({*carrier.patches, *variant.patches}):
        if not _is_same_patch_list(carrier.patches.get(key), variant.patches.get(key)):
            path, _, name = key.rpartition(".")
            owner = comfy.utils.get_attr(carrier.model, path) if path else carrier.model
            if name in owner._parameters and _is_leaf(owner):
                yield key, owner, name


def _is_leaf(module: torch.nn.Module) -> bool:
    """True if ModelPatcher loads, and so patches, the module's parameters."""
    return all("." not in name for name, _ in module.named_parameters())


def _is_same_patch_list(first: list | None, second: list | None) -> bool:
    """True if both clones patch a weight with the same patch objects in the same order."""
    if first is None or second is None:
        return first is second
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))
