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

from gcfg_core.errors import InputError

from .styles import ATTRIBUTES, GLASSES, STYLES

UNKNOWN = -1
METADATA = "metadata.jsonl"
CLASSES: dict[str, tuple[str, ...]] = {"style": (*STYLES,), **ATTRIBUTES}


@dataclass(frozen=True, eq=False)
class Labelled:
    """A set of pictures.

    Attributes:
        pixels: [N, 3, H, W] uint8.
        labels: by attribute ("style", "background", "skin", "hair"), [N] the index in CLASSES, and "glasses", [N] the
            index in WORN; UNKNOWN where the picture does not show it, glasses where it shows no face.
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
    labels[GLASSES] = torch.tensor([_worn(row) for _, row in rows])
    return Labelled(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), labels)


def joined(*sets: Labelled) -> Labelled:
    """The pictures of all sets, one after another."""
    labels = {name: torch.cat([one.labels[name] for one in sets]) for name in sets[0].labels}
    return Labelled(torch.cat([one.pixels for one in sets]), labels)


def _worn(row: dict[str, str]) -> int:
    """The index in WORN: captions always tell glasses. UNKNOWN where there is no face."""
    return int(GLASSES in row["text"]) if STYLES[row["style"]].is_face else UNKNOWN


def _rows(part: Path | zipfile.Path) -> list[dict[str, str]]:
    listed = part / METADATA
    if not listed.is_file():
        raise InputError(str(part), f"pictures with a {METADATA}", "none",
                         "Draw them: python -m training.miniature data") from None  # fmt: skip
    return [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
