"""Pictures with what is known of each: read from the folder that `data` drew, or from the archive that it packed."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gcfg_core.input_error import InputError

from .styles import ATTRIBUTES, STYLES

UNKNOWN = -1
METADATA = "metadata.jsonl"
CLASSES: dict[str, tuple[str, ...]] = {"style": (*STYLES,), **ATTRIBUTES}


@dataclass(frozen=True, eq=False)
class Labelled:
    """A set of pictures.

    Attributes:
        pixels: [N, 3, H, W] uint8.
        labels: by attribute ("style", "background", "skin", "hair"), [N] the index in CLASSES; UNKNOWN where the
            picture does not show it.
    """

    pixels: Tensor
    labels: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.pixels)


def read_labelled(source: Path, *parts: str) -> Labelled:
    """The pictures of some parts, such as "toon/test", in the order of their lists.

    Args:
        source: a folder, or an archive (.zip) of one.

    Raises:
        InputError: a part has no list of pictures.
    """
    root = zipfile.Path(source) if source.suffix == ".zip" else source
    rows = [(root / part, row) for part in parts for row in _rows(root / part)]
    pixels = [np.array(Image.open(io.BytesIO((at / row["file_name"]).read_bytes())).convert("RGB")) for at, row in rows]
    labels = {
        name: torch.tensor([values.index(row[name]) if name in row else UNKNOWN for _, row in rows])
        for name, values in CLASSES.items()
    }
    return Labelled(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), labels)


def _rows(part: Path | zipfile.Path) -> list[dict[str, str]]:
    listed = part / METADATA
    if not listed.is_file():
        raise InputError(str(part), f"pictures with a {METADATA}", "none",
                         "Draw them: python -m training.miniature data") from None  # fmt: skip
    return [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
