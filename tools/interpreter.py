"""Run a tool in the environment with ComfyUI and the rigs."""

from __future__ import annotations

import importlib.util


def run_elsewhere(module: str, *arguments: str) -> int | None:
    """Run a tool as a process of ComfyUI's environment and return its exit code; None in that environment itself."""
    if importlib.util.find_spec("rigs") is not None:
        return None
    from devtools.environment import run

    return run("-m", module, *arguments)
