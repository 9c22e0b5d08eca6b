"""The rule for when two MODELs count as one model, so that a prediction shared by two terms is evaluated once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clone_state import ENTRIES_OF_PLACE, STATE, STATE_OF_WEIGHTS

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def is_same(first: object, second: object) -> bool:
    """True if nested dicts, lists and tuples have equal structure; leaves are equal by identity or as plain values."""
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(is_same, first, second))
    return isinstance(first, (str, int, float, bool)) and first == second or _is_same_uuid(first, second)


def _is_same_uuid(first: object, second: object) -> bool:
    return hasattr(first, "hex") and hasattr(first, "bytes") and first == second


def without_empty(state: object) -> object:
    """Drop empty containers from nested dicts: ComfyUI creates some of them on first use."""
    if not isinstance(state, dict):
        return state
    kept = {key: without_empty(value) for key, value in state.items()}
    return {key: value for key, value in kept.items() if not (isinstance(value, (dict, list)) and not value)}


def is_same_model(first: ModelPatcher, second: ModelPatcher) -> bool:
    """True for one patcher, or for clones of one model with equal patches, object patches and options."""
    if first is second:
        return True
    if getattr(first, "model", None) is not getattr(second, "model", object()):
        return False
    return _agree(first, second, STATE)


def has_same_weights(first: ModelPatcher, second: ModelPatcher) -> bool:
    """True if clones of one model have equal weights and objects, so that no exchange is needed."""
    return _agree(first, second, STATE_OF_WEIGHTS)


def _agree(first: ModelPatcher, second: ModelPatcher, names: tuple[str, ...]) -> bool:
    return all(is_same(_state(first, name), _state(second, name)) for name in names)


def _state(patcher: ModelPatcher, name: str) -> object:
    state = getattr(patcher, name, None)
    if isinstance(state, dict):
        state = {key: value for key, value in state.items() if key not in ENTRIES_OF_PLACE}
    return without_empty(state)
