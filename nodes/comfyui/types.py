"""The types that our sockets carry, and what every node of the pack says alike."""

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
    """Schema arguments for hosts that know search aliases, none for older ones."""
    return {"search_aliases": list(aliases)} if "search_aliases" in inspect.signature(io.Schema).parameters else {}
