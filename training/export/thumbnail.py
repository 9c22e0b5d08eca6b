"""A small picture of a concept, as text for the metadata of its file."""

import base64
import io

from PIL import Image

SIDE = 256  # pixels of the longer side
QUALITY = 85


def thumbnail_uri(picture: Image.Image, side: int = SIDE) -> str:
    """A data URI of a JPEG no larger than ``side``, as `modelspec.thumbnail` wants it (ModelSpec 1.0.0)."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
