"""Separate state for caches of other packs that keep it on the network itself, for example TeaCache's."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

_MISSING = object()


class NetworkState:
    """Attributes that patches set on a network from call to call, kept separate for each group of predictions.

    ComfyUI asks a network for one pair in a run, so a cache that only knows ``cond_or_uncond`` would return one
    prompt's features for the next. Each group finds the attributes as its own last call left them.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._found: dict[str, Any] = {}
        self._kept: dict[Hashable, dict[str, Any]] = {}
        self._current: Hashable | None = None

    def switch(self, group: Hashable) -> None:
        """Prepare the network for evaluating ``group``. Call it only while the network carries the loaded patcher's
        objects."""
        if group == self._current:
            return
        if self._current is None:
            self._found = dict(self._attributes())
        else:
            self._kept[self._current] = self._take()
        self._put(self._kept.get(group, {}))
        self._current = group

    def leave(self) -> None:
        """Restore the network to its state before the run."""
        if self._current is not None:
            self._take()
        self._current = None
        self._kept.clear()

    def _take(self) -> dict[str, Any]:
        """Return the attributes set or deleted since the run began, and restore the network's state before the run."""
        attributes = self._attributes()
        names = attributes.keys() | self._found.keys()
        now = {name: attributes.get(name, _MISSING) for name in names}
        taken = {name: value for name, value in now.items() if self._found.get(name, _MISSING) is not value}
        self._put({name: self._found.get(name, _MISSING) for name in taken})
        return taken

    def _put(self, values: dict[str, Any]) -> None:
        attributes = self._attributes()
        for name, value in values.items():
            if value is _MISSING:
                attributes.pop(name, None)
            else:
                attributes[name] = value

    def _attributes(self) -> dict[str, Any]:
        network = self._model.diffusion_model
        return vars(getattr(network, "_orig_mod", network))
