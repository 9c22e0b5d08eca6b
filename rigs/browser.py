"""ComfyUI's own web interface in Chromium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rigs.host import ROOT
from rigs.server import ComfyServer
from rigs.template_browser import PICTURE_IS_THERE, RUN

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
"""Settings under which no dialog hides the graph, and nodes stay where they were saved."""

PATIENCE = 120_000
"""Milliseconds that a slow machine may need to show something."""
NOTICES = "[role=dialog], [role=alert], [role=alertdialog], .p-toast-message, [data-testid=error-overlay]"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: install the package chromium to run it"
)


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a running Chromium; skip the test if Playwright is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


def new_page(chromium: Any, sharpness: float = 1) -> Any:
    """Open an empty page; `sharpness` is screenshot pixels per page pixel."""
    page = chromium.new_page(viewport={"width": 1600, "height": 1000}, device_scale_factor=sharpness)
    page.set_default_timeout(PATIENCE)
    return page


def open_interface(
    chromium: Any, server: ComfyServer, *, vue: bool = False, extension: bool = True, sharpness: float = 1
) -> Any:
    """Open the web interface of this server and wait until it is ready.

    Args:
        vue: the new rendering of nodes, else the classic rendering.
        extension: load the pack's own extension, else empty files in its place.
        sharpness: as in `new_page`.

    Returns:
        Playwright's page; ``page.errors`` holds the errors in its console.
    """
    for name, value in (SETTINGS | {"Comfy.VueNodes.Enabled": vue}).items():
        server.client.post(f"/settings/{name}", value)
    page = new_page(chromium, sharpness)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.extend(_errors(message, server.url)))
    if not extension:
        empty = {"body": "", "content_type": "text/javascript"}
        page.route("**/extensions/comfyui-gcfg/**/*.js", lambda route: route.fulfill(**empty))
        page.route("**/extensions/comfyui-gcfg/*.js", lambda route: route.fulfill(**empty))
    page.goto(server.url)
    page.wait_for_function(READY)
    return page


def notices(page: Any) -> list[str]:
    """Return the texts of dialogs, messages and warnings that cover the graph."""
    return page.locator(NOTICES).filter(visible=True).all_inner_texts()


def _errors(message: Any, address: str) -> list[str]:
    """Return the console's errors with their places, except for failed requests to the internet."""
    place = message.location.get("url", "")
    return [f"{message.text} ({place})"] if message.type == "error" and place.startswith(address) else []


def workflow(name: str) -> dict[str, Any]:
    """Read a workflow of the pack, as the interface saves it."""
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def run_workflow(page: Any, name: str) -> None:
    """Open a workflow of the pack, queue it, and return when its picture is there."""
    page.evaluate("([saved, name]) => app.loadGraphData(saved, true, true, name)", [workflow(name), name])
    page.locator(RUN).first.click()
    page.wait_for_function(PICTURE_IS_THERE)
