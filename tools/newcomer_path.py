"""Time a newcomer's first steps: python -m tools.newcomer_path [PICTURE].

Starts `python dev.py serve`, opens the page in Chromium with a new user's settings, and clicks until the first
template's image is in the page. Prints the seconds of each stage and the clicks; PICTURE is a file for the last view of
the page. Needs Chromium and the environment that `python dev.py setup` makes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .interpreter import run_elsewhere

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = "starter_concept_and_control"
PATIENCE = 600
"""Seconds that the server may take."""


class Stages:
    """Prints the time of each stage, and counts clicks."""

    def __init__(self) -> None:
        self.clicks = 0
        self.began = self.last = time.monotonic()

    def done(self, what: str, clicks: int = 0) -> None:
        """End the stage that began at the end of the last."""
        now = time.monotonic()
        print(f"{now - self.last:6.1f} s  {what}; clicks: {clicks}", flush=True)
        self.last, self.clicks = now, self.clicks + clicks

    def all_done(self) -> None:
        """Print the total."""
        print(f"{self.last - self.began:6.1f} s  from the command to the image; clicks: {self.clicks}")


@contextmanager
def serving(port: int, user: Path) -> Iterator[str]:
    """Yield the address that `python dev.py serve` prints; its settings are those of a new user."""
    command = [sys.executable, "dev.py", "serve", "--port", str(port), "--user-directory", str(user)]
    log = user / "output.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        limit = time.monotonic() + PATIENCE
        while b"ComfyUI answers on" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"dev.py serve did not come up:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def walk(page: Any, url: str, stages: Stages) -> None:
    """Go from the address to the image, by clicks."""
    from rigs.browser import READY
    from rigs.template_browser import PICTURE_IS_THERE, RUN, choose_pack, click_card

    page.goto(url)
    page.wait_for_function(READY)
    stages.done("the page is ready")
    choose_pack(page)
    stages.done("ComfyUI has opened its template browser by itself, and it shows the pack", 1)
    click_card(page, TEMPLATE)
    stages.done(f"{TEMPLATE} is open", 1)
    page.locator(RUN).first.click()
    page.wait_for_function(PICTURE_IS_THERE)
    stages.done("its image is in the page", 1)


def main(arguments: list[str]) -> int:
    """Walk once and print the time."""
    if (code := run_elsewhere("tools.newcomer_path", *arguments)) is not None:
        return code
    from rigs.browser import browser, new_page
    from rigs.server import free_port

    with tempfile.TemporaryDirectory(prefix="gcfg-") as folder, browser() as chromium:
        page, stages = new_page(chromium), Stages()
        with serving(free_port(), Path(folder)) as url:
            stages.done("python dev.py serve says that ComfyUI answers")
            walk(page, url, stages)
            stages.all_done()
            if arguments:
                page.wait_for_timeout(1000)
                page.screenshot(path=arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
