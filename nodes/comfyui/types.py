"""The types of the pack's sockets, and the schema arguments that all its nodes share."""

from __future__ import annotations

import inspect
from typing import Any

from comfy_api.latest import io

CATEGORY = "GCFG"

Terms = io.Custom("GCFG_TERMS")
"""A chain of guidance terms: tuple[GuidanceTerm, ...]."""

TraceType = io.Custom("GCFG_TRACE")
"""A Trace, filled while the guider samples."""

AxisType = io.Custom("GCFG_AXIS")
"""An Axis of a sweep."""


def search_aliases(*aliases: str) -> dict[str, Any]:
    """Return the schema arguments for search aliases; empty for ComfyUI versions without them."""
    return {"search_aliases": list(aliases)} if "search_aliases" in inspect.signature(io.Schema).parameters else {}
