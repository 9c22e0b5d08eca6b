"""Describe all nodes of a request within a time limit, each by itself."""

from __future__ import annotations

import logging
import time
from typing import Any

from .describe import describe
from .posted import Posted

MOST_SECONDS = 2.0
"""For one request: the server does nothing else meanwhile."""


def describe_all(posted: Posted) -> dict[str, Any]:
    """Describe each requested node; the last ones wait if the request takes the server too long."""
    shown: dict[str, Any] = {}
    until = time.monotonic() + MOST_SECONDS
    for node_id in posted.asked:
        if time.monotonic() > until:
            shown[node_id] = {"waits": "The graph is too large to be described before a run."}
            continue
        try:
            shown[node_id] = describe(posted, node_id)
        except Exception:  # a bug of this pack: for the log, never for the page
            logging.exception("GCFG: %s could not be described", posted.name(node_id))
            shown[node_id] = {"error": "It could not be described; the log says why."}
    return shown
