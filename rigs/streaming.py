"""Models whose weights ComfyUI streams from their file, by newer versions' own patcher without its native allocator."""

from typing import Any, ClassVar

import comfy.model_patcher

from rigs.micro import micro_model

LOADS: list[int] = []
"""The seed of every file that was read again for a plain model, in order."""

DYNAMIC = getattr(comfy.model_patcher, "ModelPatcherDynamic", None)
"""The real class; older ComfyUI versions have none, and `Imitation` replaces it."""


def streaming_model(seed: int = 0, is_file: bool = True) -> Any:
    """Make the micro model as newer ComfyUI versions load it by default.

    Args:
        seed: of its weights, and the name of its file.
        is_file: ComfyUI can read it again (``cached_patcher_init``).
    """
    plain = micro_model(seed)
    streamed = (Imitation if DYNAMIC is None else Streamed)(plain.model, plain.load_device, plain.offload_device)
    streamed.cached_patcher_init = (read_again, (seed,)) if is_file else None
    return streamed


def read_again(seed: int, disable_dynamic: bool = False) -> Any:
    """Load the file once more: the function that a loader leaves for that."""
    assert disable_dynamic
    LOADS.append(seed)
    return micro_model(seed)


class Imitation(comfy.model_patcher.ModelPatcher):
    """The new methods of a streaming patcher on an older version's plain patcher; it cannot be patched while
    sampling."""

    def is_dynamic(self) -> bool:
        return True

    def clone(self, disable_dynamic: bool = False, model_override: Any = None, **options: Any) -> Any:
        if not disable_dynamic:
            clone = super().clone()
            clone.cached_patcher_init = self.cached_patcher_init
            return clone
        if model_override is None:
            if self.cached_patcher_init is None:
                raise RuntimeError("Cannot create non-dynamic delegate: cached_patcher_init is not initialized.")
            read, arguments = self.cached_patcher_init
            plain = read(*arguments, disable_dynamic=True)
            model_override = plain.model, {name: vars(plain)[name] for name in ("backup", "object_patches_backup")}
        other = comfy.model_patcher.ModelPatcher(model_override[0], self.load_device, self.offload_device)
        vars(other).update(model_override[1])
        other.patches, other.patches_uuid = {key: list(value) for key, value in self.patches.items()}, self.patches_uuid
        other.object_patches, other.model_options = dict(self.object_patches), self.model_options
        other.get_clone_model_override = lambda: model_override
        other.parent = self
        return other

    def patch_hook_weight_to_device(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("a hook patched a streamed weight")


if DYNAMIC is not None:
    import comfy_aimdo.host_buffer

    class HostBuffer:
        """Replaces the allocator's pinned memory with none."""

        size = 0

        def __init__(self, *_: Any, **__: Any) -> None: ...

    class Streamed(DYNAMIC):
        """ModelPatcherDynamic on the CPU, where ComfyUI itself would use the plain patcher.

        The allocator holds back no weight: weights of up to 16 KB are patched at loading, as everywhere; larger ones,
        of which a CPU has no copy, are used as they are.
        """

        buffer: ClassVar[type] = HostBuffer

        def __new__(cls, *_: Any, **__: Any) -> "Streamed":
            return object.__new__(cls)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            comfy_aimdo.host_buffer.HostBuffer = self.buffer
            super().__init__(*args, **kwargs)

        def partially_unload(self, device_to: Any, memory_to_free: float = 0, force_patch_weights: bool = False) -> int:
            return self.restore_loaded_backups()
