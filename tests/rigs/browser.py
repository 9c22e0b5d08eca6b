"""ComfyUI's own web interface in Chromium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rigs.host import ROOT
from rigs.server import ComfyServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
READY = "() => window.app && window.app.graph && Object.keys(window.LiteGraph.registered_node_types).length > 100"
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.VueNodes.AutoScaleLayout": False,
}
"""So that no dialog hides the graph, and nodes stay where they were saved."""

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: install the package chromium to run it"
)


@contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium; the test is skipped where Playwright is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


def open_interface(
    chromium: Any, server: ComfyServer, *, vue: bool = False, extension: bool = True, sharpness: float = 1
) -> Any:
    """A page with the web interface of this server, ready to use.

    Args:
        vue: the new rendering of nodes, else the classic one.
        extension: load the pack's own extension, else empty files in its place.
        sharpness: pixels of a screenshot for each of the page.

    Returns:
        Playwright's page; ``page.errors`` holds what its console reports as errors.
    """
    for name, value in (SETTINGS | {"Comfy.VueNodes.Enabled": vue}).items():
        server.client.post(f"/settings/{name}", value)
    page = chromium.new_page(viewport={"width": 1600, "height": 1000}, device_scale_factor=sharpness)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    if not extension:
        empty = {"body": "", "content_type": "text/javascript"}
        page.route("**/extensions/comfyui-gcfg/**/*.js", lambda route: route.fulfill(**empty))
        page.route("**/extensions/comfyui-gcfg/*.js", lambda route: route.fulfill(**empty))
    page.goto(server.url, timeout=120_000)
    page.wait_for_function(READY, timeout=120_000)
    return page


def workflow(name: str) -> dict[str, Any]:
    """A workflow of the pack, as the interface saves it."""
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
