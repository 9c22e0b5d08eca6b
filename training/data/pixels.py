"""Decode a picture and fit it to its bucket's size."""

import hashlib
import io
from typing import IO, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gcfg_core.errors import InputError

from .colour import to_rgb
from .image_file import UnusablePicture, check_pixels, error_line, open_image, pixel_limit
from .picture import Picture, Size, printable
from .placement import placement
from .transparency import WHITE, Colour

# Part of the key of cached latents: increase it when decoding gives other pixels.
DECODE_VERSION = 1

ORIENTATION = 0x0112
# EXIF orientation -> transposition that makes the picture upright (EXIF 2.3, 4.6.4 A).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Decoded(NamedTuple):
    """A picture's first frame, upright.

    Attributes:
        image: RGB, its transparent parts composited onto the background.
        format: Pillow's name of the file format.
        alpha: L; None if no pixel is transparent.
    """

    image: Image.Image
    format: str
    alpha: Image.Image | None


def decode(file: IO[bytes], max_pixels: int, background: Colour = WHITE) -> Decoded:
    """Decode a picture. Call it inside `pixel_limit(max_pixels)`.

    Raises:
        UnusablePicture: it is not a picture, broken, or too large.
    """
    image = open_image(file, max_pixels)
    name = image.format or "?"
    try:
        image.load()
        check_pixels(image, max_pixels)
        (rgb, alpha), turn = to_rgb(image, background), orientation(image)
        return Decoded(upright(rgb, turn), name, None if alpha is None else upright(alpha, turn))
    except UnusablePicture:
        raise
    except Image.DecompressionBombError:
        raise UnusablePicture("huge", f"more than {max_pixels} pixels") from None
    except MemoryError:
        raise UnusablePicture("unreadable", "not enough memory to decode it") from None
    except Exception as error:  # decoders raise anything about damaged bytes
        raise UnusablePicture("broken", error_line(error)) from None


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1 to 8 of a decoded image; 1 if EXIF is missing or broken.

    Decoded TIFF and HEIF files are upright already. So are JPEG XL files, which have their own orientation (ISO/IEC
    18181-2), except those converted from JPEG, which the plugin decodes as JPEG.
    """
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # untrusted EXIF: Pillow's parser raises anything
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def upright(image: Image.Image, turn: int) -> Image.Image:
    """Turn an image by its EXIF orientation."""
    return image.transpose(TURNS[turn]) if turn in TURNS else image


def fitted(image: Image.Image, size: Size) -> Tensor:
    """Resize an image with antialiasing (Lanczos) to cover ``size`` and cut out the middle: [3, H, W], or [1, H, W] of
    an alpha, in -1..1."""
    place = placement(Size(*image.size), size)
    if place.original != size:
        # Equals resizing and then cropping, without computing the part that is cut off.
        image = image.resize(size, Image.Resampling.LANCZOS, box=place.box())
    values = torch.from_numpy(np.atleast_3d(np.array(image, dtype=np.uint8)))  # [H, W, 3]
    return values.permute(2, 0, 1).float().div(127.5).sub(1.0).contiguous()


def load_pixels(picture: Picture, size: Size, background: Colour = WHITE) -> tuple[Tensor, Tensor | None]:
    """Load a picture at its bucket's size; see `placement` for the crop.

    Returns:
        Pixels [3, H, W] from -1 to 1, and opacity [1, H, W] from 0 to 1 or None if nothing is transparent; float32.

    Raises:
        InputError: the file is missing or was changed after the scan.
    """
    try:
        data = picture.path.read_bytes()
    except OSError as error:
        raise _changed(picture, f"an unreadable file ({error_line(error)})") from None
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise _changed(picture, "other bytes")
    limit = picture.size.width * picture.size.height
    with pixel_limit(limit):
        try:
            image, _, alpha = decode(io.BytesIO(data), limit, background)
        except UnusablePicture as error:
            raise _changed(picture, f"a broken file ({error.reason})") from None
    return fitted(image, size), None if alpha is None else fitted(alpha, size).add(1.0).div(2.0)


def _changed(picture: Picture, got: str) -> InputError:
    return InputError(printable(picture.path), "the picture that was scanned", got,
                      "Do not change pictures during a run; start again to scan them again.")  # fmt: skip
