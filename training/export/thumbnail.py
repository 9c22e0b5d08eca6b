"""A small picture of a concept, as text for its file's metadata."""

import base64
import io

from PIL import Image

SIDE = 256  # pixels of the longer side
QUALITY = 85


def thumbnail_uri(picture: Image.Image, side: int = SIDE) -> str:
    """Return a JPEG data URI of at most ``side`` pixels for `modelspec.thumbnail` (ModelSpec 1.0.0)."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
