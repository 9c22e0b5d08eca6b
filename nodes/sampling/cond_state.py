"""Copy ControlNets and hooks of conditions for every branch, because they hold the state of one model's run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import comfy.hooks

Conds = Mapping[int, list[dict[str, Any]]]


def has_hooks(conds: Conds) -> bool:
    """True if a condition, or one of its ControlNets, changes its model's weights while sampling."""
    parts = [part for cond in conds.values() for part in cond]
    controls = filter(None, (part.get("control") for part in parts))
    return any(part.get("hooks") is not None for part in parts) or any(
        control.get_extra_hooks() for control in controls
    )


def own_controls(conds: Conds) -> None:
    """Replace the ControlNets in ``conds`` by copies, with their chains of previous ControlNets."""
    copies: dict[int, Any] = {}

    def copied(control: Any) -> Any:
        if id(control) not in copies:
            copies[id(control)] = control.copy()
            if control.previous_controlnet is not None:
                copies[id(control)].set_previous_controlnet(copied(control.previous_controlnet))
        return copies[id(control)]

    for part in (part for cond in conds.values() for part in cond):
        if part.get("control") is not None:
            part["control"] = copied(part["control"])


def own_hooks(conds: Conds) -> None:
    """Replace the hooks in ``conds`` by copies; hooks with a common group or common keyframes still share them.

    Keyframes advance as they are used, so two models that shared them would each miss the other's changes. Everything
    else stays the hook's own: another pack's ``clone`` may omit attributes.
    """
    groups: dict[int, Any] = {}
    keyframes: dict[int, Any] = {}

    def copied(group: Any) -> Any:
        if id(group) not in groups:
            groups[id(group)] = comfy.hooks.HookGroup()
            for hook in map(copy.copy, group.hooks):
                hook.hook_keyframe = keyframes.setdefault(id(hook.hook_keyframe), hook.hook_keyframe.clone())
                groups[id(group)].add(hook)
        return groups[id(group)]

    for part in (part for cond in conds.values() for part in cond):
        if part.get("hooks") is not None:
            part["hooks"] = copied(part["hooks"])
