"""Draw pictures: DiceBear under Node.js makes SVGs, resvg renders them."""

import io
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from gcfg_core.errors import InputError

from .pictures import Picture

DRAWING = Path(__file__).with_name("drawing")


def draw(pictures: Sequence[Picture], side: int) -> Iterator[Image.Image]:
    """Yield each picture as RGB, ``side`` pixels wide and high.

    Raises:
        InputError: Node.js or resvg is missing, or a drawing failed.
    """
    try:
        import resvg_py
    except ModuleNotFoundError:
        raise InputError("resvg_py", "installed", "not found", "pip install resvg-py==0.5.0") from None
    for svg in _svgs(pictures):
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side))
        yield Image.open(io.BytesIO(png)).convert("RGB")


def _svgs(pictures: Sequence[Picture]) -> Iterator[str]:
    _install()
    wanted = "".join(json.dumps({"style": p.style.name, "options": p.options}) + "\n" for p in pictures)
    done = subprocess.run(
        [_program("node"), "draw.mjs"], cwd=DRAWING, input=wanted, capture_output=True, text=True, check=False
    )
    svgs = done.stdout.splitlines()
    if done.returncode or len(svgs) != len(pictures):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError("drawing/draw.mjs", f"{len(pictures)} drawings", f"{len(svgs)}: {last}",
                         "Delete drawing/node_modules and try again.")  # fmt: skip
    return map(json.loads, svgs)


def _install() -> None:
    """Install the packages of the lock file if they are missing."""
    if (DRAWING / "node_modules").is_dir():
        return
    done = subprocess.run([_program("npm"), "ci", "--silent"], cwd=DRAWING, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError("npm ci", "DiceBear installed", last, "Look at the message; the network must be reachable.")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise InputError(name, "Node.js 18 or newer on the path", "none", "Install it from your system's packages.")
    return found
