"""Extract feature vectors from pictures: networks, input sizes and preprocessing.

Every picture is cut to its centre square, resized with Pillow's antialiased bicubic filter and passed to the network as
uint8. clean-fid (arXiv 2104.11222) uses the same filter, but squashes instead of cutting, and keeps floats. So compare
numbers only with numbers of the same extractor and size, not with those of other programs.

- "efficientnet" (default): EfficientNet-Lite0, pooled features [1280], ImageNet weights from a package; needs no
  network access. FD and KID in papers use Inception and have another scale.
- "inception": torch-fidelity's Inception v3 through torchmetrics, [2048], the network that defines FID and KID, at
  299 pixels; its weights are downloaded.
- a file: a TorchScript module from [B, 3, size, size] float32 in -1..1 to [B, D]. It can run code: use only a file that
you trust.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gcfg_core.errors import InputError

from ..console.progress_bar import Progress
from .efficientnet import NATIVE, efficientnet_lite0
from .pictures import PictureFile, open_picture

INCEPTION_SIZE = 299


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network that computes features.

    Attributes:
        name: the network's name; results state it with the size.
        size: pixels along a side of its input.
        network: [B, 3, size, size] uint8 -> [B, D].
    """

    name: str
    size: int
    network: nn.Module

    def __str__(self) -> str:
        return f"{self.name} at {self.size} px"


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a set of pictures.

    Attributes:
        files: the pictures, ordered by content.
        values: [N, D] float64, a row per picture.
        rejected: files that are not pictures or cannot be decoded.
    """

    files: tuple[PictureFile, ...]
    values: Tensor
    rejected: tuple[PictureFile, ...] = ()

    def __len__(self) -> int:
        return len(self.files)


class Scripted(nn.Module):
    """Wraps a user's TorchScript module that takes float32 in -1..1."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        output = self.module(pictures.float() / 127.5 - 1.0)
        return output.flatten(1) if isinstance(output, Tensor) else output


def open_extractor(which: str = "efficientnet", size: int | None = None) -> Extractor:
    """Return an extractor by name, or from a TorchScript file.

    Args:
        which: "efficientnet", "inception" or the path of a file.
        size: pixels along a side; default: the network's own.

    Raises:
        InputError: the file is missing or not a fitting module, weights cannot be downloaded, or inception is given
            another size.
    """
    if which == "efficientnet":
        return Extractor("efficientnet-lite0", size or NATIVE, efficientnet_lite0())
    if which == "inception":
        if size not in (None, INCEPTION_SIZE):
            raise InputError("feature_size", f"{INCEPTION_SIZE} for inception, which resizes to it itself", str(size),
                             "Leave it out.")  # fmt: skip
        return Extractor("inception-v3", INCEPTION_SIZE, _inception())
    path = Path(which)
    if not path.is_file():
        raise InputError("features", "efficientnet, inception or a TorchScript file", repr(which), "Choose from these.")
    try:
        module = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        got = str(error).strip().splitlines()[0]
        raise InputError("features", f"a TorchScript file at {path}", got, "Save it with torch.jit.save.") from None
    return _tried(Extractor(path.name, size or NATIVE, Scripted(module)), path)


def _tried(extractor: Extractor, path: Path) -> Extractor:
    """Run the extractor on two black pictures, and return it.

    Raises:
        InputError: it fails, or does not return a row of numbers for each.
    """
    expected = f"a module from [B, 3, {extractor.size}, {extractor.size}] to [B, D]"
    try:
        with torch.no_grad():
            found: object = extractor.network(torch.zeros(2, 3, extractor.size, extractor.size, dtype=torch.uint8))
    except Exception as error:  # a user's program raises anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        remedy = "Give another size with --feature-size, or another module."
        raise InputError(f"features {path}", expected, f"an error: {lines[-1].strip()[:120]}", remedy) from None
    if not isinstance(found, Tensor) or len(found) != 2 or not found.is_floating_point():
        got = f"{list(found.shape)} {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"features {path}", expected, got, "Wrap it so that it returns only its features.")
    return extractor


def _inception() -> nn.Module:
    remedy = "Install torch-fidelity and let it download its weights once, or use --features efficientnet."
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        return NoTrainInceptionV3(name="inception-v3-compat", features_list=["2048"])
    except (ImportError, OSError, RuntimeError, ValueError) as error:  # URLError is an OSError
        got = " ".join(str(error).split())[:120] or "none that can be loaded"
        raise InputError("features", "Inception v3's weights", got, remedy) from None


def square(picture: Image.Image, size: int) -> Tensor:
    """Return the centre square of an RGB picture, [3, size, size] uint8."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1)


@torch.no_grad()
def extract(
    files: Sequence[PictureFile],
    extractor: Extractor,
    batch: int = 32,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    mirrored: bool = False,
) -> Features:
    """Extract features of every picture that can be decoded.

    Args:
        batch: pictures per forward pass; affects only speed.
        progress: called with (files done, files).
        mirrored: use the pictures' mirror images.

    Raises:
        InputError: no file is a picture, or features are not finite.
    """
    network = extractor.network.to(device)
    kept: list[PictureFile] = []
    rejected: list[PictureFile] = []
    waiting: list[Tensor] = []
    found: list[Tensor] = []

    def flush() -> None:
        if waiting:
            found.append(network(torch.stack(waiting).to(device)).cpu().double())
            waiting.clear()

    for number, file in enumerate(files, 1):
        picture = open_picture(file)
        if picture is None:
            rejected.append(file)
        else:
            kept.append(file)
            pixels = square(picture, extractor.size)
            waiting.append(pixels.flip(-1) if mirrored else pixels)
        if len(waiting) == batch:
            flush()
        if progress is not None:
            progress(number, len(files))
    flush()
    if not found:
        raise InputError(str(files[0].path.parent), "pictures", f"{len(files)} other files", "Check the folder.")
    values = torch.cat(found)
    if not torch.isfinite(values).all():
        raise InputError(f"features {extractor}", "finite numbers", "NaN or infinity", "Give another network.")
    return Features(tuple(kept), values, tuple(rejected))
