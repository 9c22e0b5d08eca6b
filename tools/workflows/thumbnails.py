"""Pictures of the workflows: each is run, and its report or else its saved picture is made small.

Workflows on the starter models show real pictures. The others run on tiny random models, which give only textures.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from rigs.pack import Pack
from rigs.workflows import WorkflowRunner

from .files import API, FOLDER

SIZE = 256
MOST_STEPS = 30
MOST_BYTES = 40_000


def write(pack: Pack, names: Sequence[str] = ()) -> list[Path]:
    """Run these workflows (default: all) and write their thumbnails; return their paths."""
    paths = []
    with tempfile.TemporaryDirectory(prefix="gcfg-") as base, WorkflowRunner(pack, Path(base)) as runner:
        for name in names or sorted(path.stem for path in API.glob("*.json")):
            prompt = json.loads((API / f"{name}.json").read_text(encoding="utf-8"))
            done = runner.run(prompt, MOST_STEPS, SIZE)
            path = FOLDER / f"{name}.jpg"
            path.write_bytes(thumbnail(done.shown.get("GCFG_Report", done.images[-1])))
            paths.append(path)
    return paths


def thumbnail(path: Path) -> bytes:
    """Return the picture, or a video's first frame, padded to a JPEG of SIZE pixels a side and at most MOST_BYTES."""
    with Image.open(path) as image:
        whole = image.convert("RGB")
    picture = ImageOps.pad(whole, (SIZE, SIZE), Image.Resampling.LANCZOS, whole.getpixel((0, 0)))
    for quality in (90, 80, 70, 60, 50, 40, 30):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True)
        if data.tell() <= MOST_BYTES:
            break
    return data.getvalue()
