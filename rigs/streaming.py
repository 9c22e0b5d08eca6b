"""Models whose weights the host streams from their file: newer hosts' own patcher, without its native allocator."""

from typing import Any, ClassVar

import comfy.model_patcher

from rigs.micro import micro_model

LOADS: list[int] = []
"""The seed of every file that was read again for a delegate, in order."""

DYNAMIC = getattr(comfy.model_patcher, "ModelPatcherDynamic", None)
"""The real class; older hosts have none, and `Imitation` stands in."""


def streaming_model(seed: int = 0, is_file: bool = True) -> Any:
    """The micro model as newer hosts load it by default.

    Args:
        seed: of its weights, and the name of its file.
        is_file: the host knows how to read it again (``cached_patcher_init``).
    """
    plain = micro_model(seed)
    streamed = (Imitation if DYNAMIC is None else Streamed)(plain.model, plain.load_device, plain.offload_device)
    streamed.cached_patcher_init = (read_again, (seed,)) if is_file else None
    return streamed


def read_again(seed: int, disable_dynamic: bool = False) -> Any:
    """The function that a loader leaves behind to read its file once more."""
    assert disable_dynamic
    LOADS.append(seed)
    return micro_model(seed)


class Imitation(comfy.model_patcher.ModelPatcher):
    """The new methods of a streaming patcher on an older host's plain patcher; it cannot be patched while sampling."""

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
        """In the place of the allocator's pinned memory: none."""

        size = 0

        def __init__(self, *_: Any, **__: Any) -> None: ...

    class Streamed(DYNAMIC):
        """ModelPatcherDynamic on the CPU, where the host itself would take the plain patcher.

        No weight is held back by the allocator: weights of up to 16 KB are patched at loading, as everywhere; larger
        ones, of which a CPU has no copy, are used as they are.
        """

        buffer: ClassVar[type] = HostBuffer

        def __new__(cls, *_: Any, **__: Any) -> "Streamed":
            return object.__new__(cls)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            comfy_aimdo.host_buffer.HostBuffer = self.buffer
            super().__init__(*args, **kwargs)

        def partially_unload(self, device_to: Any, memory_to_free: float = 0, force_patch_weights: bool = False) -> int:
            return self.restore_loaded_backups()
