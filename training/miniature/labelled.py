"""Read labelled pictures from the folder that `data` drew, or from its archive."""

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
    """A set of pictures with labels.

    Attributes:
        pixels: [N, 3, H, W] uint8.
        labels: for "style", "background", "skin" and "hair" the index in CLASSES, [N]; for "glasses" the index in WORN,
            [N]. UNKNOWN if the picture does not show the attribute; for glasses if it shows no face.
    """

    pixels: Tensor
    labels: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.pixels)


def read_labelled(source: Path, *parts: str) -> Labelled:
    """Read the pictures of some parts, for example "toon/test", in the order of their lists.

    Args:
        source: the folder, or its archive (.zip).

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
    """Concatenate sets of pictures."""
    labels = {name: torch.cat([one.labels[name] for one in sets]) for name in sets[0].labels}
    return Labelled(torch.cat([one.pixels for one in sets]), labels)


def _worn(row: dict[str, str]) -> int:
    """Return the index in WORN from the caption, which always mentions glasses; UNKNOWN if there is no face."""
    return int(GLASSES in row["text"]) if STYLES[row["style"]].is_face else UNKNOWN


def _rows(part: Path | zipfile.Path) -> list[dict[str, str]]:
    listed = part / METADATA
    if not listed.is_file():
        raise InputError(str(part), f"pictures with a {METADATA}", "none",
                         "Draw them: python -m training.miniature data") from None  # fmt: skip
    return [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
