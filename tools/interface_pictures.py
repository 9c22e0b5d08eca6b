"""Take the pictures of ComfyUI's interface: python -m tools.interface_pictures [graph] [templates].

`graph`, for README.md, runs the paper's graph on the starter models; `templates`, for docs/WORKFLOWS.md, opens the
template browser. Needs Chromium and the environment that `python dev.py setup` makes. Writes docs/pictures/NAME.png.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .interpreter import run_elsewhere

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
COLOURS, SHARPNESS = 256, 1.5
ABOVE = {"x": 0, "y": 40, "width": 1600, "height": 760}
"""The page without ComfyUI's announcements at the top and the empty space at the bottom."""


def graph(page: Any) -> bytes:
    """Show the paper's graph after a run."""
    from rigs.browser import run_workflow

    run_workflow(page, "starter_concept_and_control")
    page.wait_for_timeout(4000)
    return page.screenshot(clip=ABOVE)


def templates(page: Any) -> bytes:
    """Show the template browser with this pack's workflows."""
    from rigs.template_browser import open_templates

    open_templates(page)
    page.wait_for_timeout(4000)
    return page.locator("[role=dialog]").first.screenshot()


PICTURES: dict[str, Callable[[Any], bytes]] = {"graph": graph, "templates": templates}


def small(png: bytes) -> bytes:
    """Return the same picture in few colours."""
    from PIL import Image

    data = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        few = image.convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(data, "PNG", optimize=True)
    return data.getvalue()


def main(names: list[str]) -> int:
    """Take the named pictures, or all, and return the exit code."""
    if (code := run_elsewhere("tools.interface_pictures", *names)) is not None:
        return code
    from rigs.browser import browser, open_interface
    from rigs.server import ComfyServer

    with ComfyServer() as server, browser() as chromium:
        server.client.post("/settings/Comfy.Minimap.Visible", False)
        for name in names or PICTURES:
            page = open_interface(chromium, server, sharpness=SHARPNESS)
            path = FOLDER / f"{name}.png"
            path.write_bytes(small(PICTURES[name](page)))
            print(path, path.stat().st_size)
            page.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
