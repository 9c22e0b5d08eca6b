"""A stand-in for the patchers of newer hosts that stream weights, which only run with CUDA."""

from typing import Any, ClassVar

import comfy.model_patcher

from rigs.micro import micro_model


class StreamingPatcher(comfy.model_patcher.ModelPatcher):
    """As newer hosts' patchers that stream weights from the file: no tensor stays, a delegate is a second load."""

    loads: ClassVar[list[int]] = []

    def is_dynamic(self) -> bool:
        return True

    def get_non_dynamic_delegate(self) -> Any:
        StreamingPatcher.loads.append(1)
        return self.clone(disable_dynamic=True, model_override=(micro_model(0).model, ({}, {}, {}, set())))

    def clone(self, disable_dynamic: bool = False, model_override: Any = None, **options: Any) -> Any:
        if not disable_dynamic:
            return super().clone()
        other = comfy.model_patcher.ModelPatcher(model_override[0], self.load_device, self.offload_device)
        other.patches, other.patches_uuid = {key: list(value) for key, value in self.patches.items()}, self.patches_uuid
        other.get_clone_model_override = lambda: model_override
        return other

    def patch_weight_to_device(self, key: str, *args: Any, **kwargs: Any) -> Any:
        assert key not in self.patches, "a streamed weight was patched"

    def patch_hook_weight_to_device(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("a hook patched a streamed weight")
