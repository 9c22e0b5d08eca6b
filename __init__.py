"""GCFG for ComfyUI: mix any number of diffusion models and conditions while an image is sampled (arXiv 2312.08195)."""

from __future__ import annotations

from .nodes import GCFGExtension

WEB_DIRECTORY = "./web"
"""What the web interface loads: extension and help pages."""


async def comfy_entrypoint() -> GCFGExtension:
    return GCFGExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
