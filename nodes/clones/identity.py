"""The rule for when two MODELs count as one model, so that a prediction shared by two terms is evaluated once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clone_state import ENTRIES_OF_PLACE, STATE, STATE_OF_WEIGHTS

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def is_same(one: object, other: object) -> bool:
    """True if nested dicts, lists and tuples have equal structure; leaves are equal by identity or as plain values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, (str, int, float, bool)) and one == other or _is_same_uuid(one, other)


def _is_same_uuid(one: object, other: object) -> bool:
    return hasattr(one, "hex") and hasattr(one, "bytes") and one == other


def without_empty(state: object) -> object:
    """Drop empty containers from nested dicts: ComfyUI creates some of them on first use."""
    if not isinstance(state, dict):
        return state
    kept = {key: without_empty(value) for key, value in state.items()}
    return {key: value for key, value in kept.items() if not (isinstance(value, (dict, list)) and not value)}


def is_same_model(one: ModelPatcher, other: ModelPatcher) -> bool:
    """True for one patcher, or for clones of one model with equal patches, object patches and options."""
    if one is other:
        return True
    if getattr(one, "model", None) is not getattr(other, "model", object()):
        return False
    return _agree(one, other, STATE)


def has_same_weights(one: ModelPatcher, other: ModelPatcher) -> bool:
    """True if clones of one model have equal weights and objects, so that nothing in the shared module is exchanged."""
    return _agree(one, other, STATE_OF_WEIGHTS)


def _agree(one: ModelPatcher, other: ModelPatcher, names: tuple[str, ...]) -> bool:
    return all(is_same(_state(one, name), _state(other, name)) for name in names)


def _state(patcher: ModelPatcher, name: str) -> object:
    state = getattr(patcher, name, None)
    if isinstance(state, dict):
        state = {key: value for key, value in state.items() if key not in ENTRIES_OF_PLACE}
    return without_empty(state)
