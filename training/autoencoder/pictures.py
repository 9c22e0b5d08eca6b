"""Read pictures as tensors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def read_pixels(path: Path) -> Tensor:
    """Return a picture [3, H, W] in -1..1. Raises OSError: it cannot be read."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 127.5 - 1.0


def batches(pictures: Sequence[Path], size: int) -> Iterator[Tensor]:
    """Yield pictures of one size as [B, 3, H, W] in -1..1. Raises OSError: a picture cannot be read."""
    for first in range(0, len(pictures), size):
        yield torch.stack([*map(read_pixels, pictures[first : first + size])])
