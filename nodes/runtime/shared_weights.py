"""Clones of one model share its module: exchange what differs around each evaluation of a clone.

Two clones loaded together would both be evaluated with the weights of the last one. Here one clone, the host, is
loaded by ComfyUI; for every other one the patched tensors are computed once, and for its evaluations put in the place
of the host's. No weight is copied and the checkpoint is never held twice: the extra memory is the patched tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import comfy.utils
import torch

from .host import stripped_parameter

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class WeightExchange:
    """Everything of the shared module that must change between ``host``, which is loaded, and ``variant``.

    ``exchange`` swaps; called twice it changes nothing. ``variant`` must be a clone of our own.
    """

    def __init__(self, host: ModelPatcher, variant: ModelPatcher) -> None:
        self.host, self.variant = host, variant
        self.slots: list[tuple[dict, str, object]] = []
        self.objects: dict[str, object] = {}
        self._collect_parameters()
        self._collect_functions()
        self._collect_objects()

    def _owner(self, key: str) -> tuple[torch.nn.Module, str]:
        path, _, name = key.rpartition(".")
        return comfy.utils.get_attr(self.host.model, path) if path else self.host.model, name

    def _collect_parameters(self) -> None:
        host, variant = self.host.patches, self.variant.patches
        for key in sorted({*host, *variant}):
            if not _is_same_patch_list(host.get(key), variant.get(key)):
                owner, name = self._owner(key)
                if name in owner._parameters:
                    self.slots.append((owner._parameters, name, self._patched(owner, name, key)))

    def _patched(self, owner: torch.nn.Module, name: str, key: str) -> torch.nn.Parameter:
        """The variant's own tensor for ``key``, on the device where the host's lies, computed by its patcher."""
        current = owner._parameters[name]
        assert current is not None
        original = self.host.backup.get(key)
        weight = stripped_parameter(current) if original is None else original.weight
        weight = weight if isinstance(weight, torch.nn.Parameter) else torch.nn.Parameter(weight, requires_grad=False)
        if key not in self.variant.patches:
            return torch.nn.Parameter(weight.data.to(current.device), requires_grad=False)
        owner._parameters[name] = weight
        try:
            self.variant.patch_weight_to_device(key, device_to=current.device)
            patched = owner._parameters[name]
        finally:
            owner._parameters[name] = current
            self.variant.backup.clear()
        assert patched is not None and patched is not weight
        return patched

    def _collect_functions(self) -> None:
        """Patches that act while a weight is cast: those of partly offloaded weights, and wrappers of other packs."""
        wrappers = self.variant.weight_wrapper_patches
        swapped = {(id(container), name) for container, name, _ in self.slots}
        for module_name, module in self.host.model.named_modules():
            for name in ("weight", "bias"):
                key = f"{module_name}.{name}"
                differs = wrappers.get(key) != self.host.weight_wrapper_patches.get(key)
                if hasattr(module, f"{name}_function") and (differs or (id(module._parameters), name) in swapped):
                    self.slots.append((module.__dict__, f"{name}_function", list(wrappers.get(key, []))))
            if self.variant.force_cast_weights and getattr(module, "comfy_cast_weights", True) is False:
                self.slots.append((module.__dict__, "comfy_cast_weights", True))

    def _collect_objects(self) -> None:
        host, variant = self.host.object_patches, self.variant.object_patches
        for key in {*host, *variant}:
            if host.get(key) is not variant.get(key) or (key in host) != (key in variant):
                self.objects[key] = variant[key] if key in variant else self.host.object_patches_backup[key]

    def exchange(self) -> None:
        injects = self.host.injections or self.variant.injections
        entering = self.host if not self._is_variant_in else self.variant
        if injects:
            entering.eject_model()
        for index, (container, name, value) in enumerate(self.slots):
            self.slots[index] = (container, name, container.get(name, _MISSING))
            if value is _MISSING:
                del container[name]
            else:
                container[name] = value
        for key, value in self.objects.items():
            self.objects[key] = comfy.utils.set_attr(self.host.model, key, value)
        self._is_variant_in = not self._is_variant_in
        if injects:
            (self.variant if self._is_variant_in else self.host).inject_model()

    _is_variant_in = False


_MISSING = object()


def _is_same_patch_list(one: list | None, other: list | None) -> bool:
    """True where both clones patch a weight with the very same patches in the same order."""
    if one is None or other is None:
        return one is other
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
