"""The state of a model's patcher and of its shared network, to check that a run restores it."""

from typing import Any

PLAIN = ("patches", "backup", "object_patches", "object_patches_backup", "hook_patches", "hook_backup", "injections",
         "current_hooks", "cached_hook_patches", "additional_models", "callbacks", "attachments")  # fmt: skip


def snapshot(value: Any) -> Any:
    """Copy nested containers, with leaves by identity."""
    if isinstance(value, dict):
        return {key: snapshot(one) for key, one in value.items() if one not in ({}, [])}
    if isinstance(value, (list, tuple)):
        return [snapshot(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)


def traits(patcher: Any) -> dict[str, Any]:
    state = {name: snapshot(getattr(patcher, name)) for name in (*PLAIN, "model_options", "wrappers")}
    network = {"parameters": {name: id(one) for name, one in patcher.model.named_parameters()}}
    network |= {"sampling": id(patcher.model.model_sampling), "current": patcher.model.current_patcher}
    functions = [name for name, m in patcher.model.named_modules() if m.__dict__.get("weight_function")]
    return {**state, **network, "functions": functions, "mode": patcher.hook_mode, "uuid": patcher.patches_uuid}
