"""Convert any Pillow mode to 8-bit sRGB and alpha."""

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from .transparency import WHITE, Colour

# Colour space of an ICC profile -> Pillow mode.
PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "LAB ": "LAB"}


def to_rgb(image: Image.Image, background: Colour = WHITE) -> tuple[Image.Image, Image.Image | None]:
    """Convert a decoded image to RGB, and its alpha (L); None if no pixel is transparent.

    16-bit integers are divided by 257, other wide numbers scaled as in `eight_bits`. Transparent parts are composited
    onto the background. An ICC profile is applied if it fits the mode, and ignored if it is broken.
    """
    profile = image.info.get("icc_profile")
    alpha = _wide_alpha(image)
    image = eight_bits(image)
    if image.has_transparency_data:
        image, alpha = split_alpha(image)
    rgb = with_profile(image, profile) if profile else None
    if rgb is None:
        rgb = without_profile(image)
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)
    return rgb, None if alpha is None or alpha.getextrema() == (255, 255) else alpha


def eight_bits(image: Image.Image) -> Image.Image:
    """Convert wide pixels to L, and palettes and rare modes to plain modes; return other images unchanged.

    32-bit integers are 16-bit numbers in most files: they are divided by 257 if they fit. Floats are taken as 0..1,
    0..255 or 0..65535, the first range that contains all. Other values are stretched from their minimum to their
    maximum.
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_numbers(np.asarray(image), (65535.0,))
    if image.mode == "F":
        return _from_numbers(np.asarray(image), (1.0, 255.0, 65535.0))
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "La":
        return image.convert("LA")
    return image


def _from_numbers(values: np.ndarray[Any, Any], ranges: tuple[float, ...]) -> Image.Image:
    """Convert numbers [H, W] to L; NaN becomes black, infinities become the ends of the range."""
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    top = next((top for top in ranges if low >= 0.0 and high <= top), None)
    if top is None:
        offset, top = low, max(high - low, np.finfo(np.float64).tiny)
    else:
        offset = 0.0
    scaled = np.clip(numbers, low, high)
    scaled = (scaled - offset) / top * 255.0
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _wide_alpha(image: Image.Image) -> Image.Image | None:
    """Return the alpha of a 16-bit image whose metadata declares one value transparent (PNG); else None."""
    transparent = image.info.get("transparency")
    if not image.mode.startswith("I;16") or not isinstance(transparent, int):
        return None
    return Image.fromarray(np.where(np.asarray(image) == transparent, 0, 255).astype(np.uint8))


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Split an image with any kind of transparency into colour (L or RGB) and alpha (L)."""
    image = image.convert("LA" if image.mode == "LA" else "RGBA")
    return image.convert("L" if image.mode == "LA" else "RGB"), image.getchannel("A")


def with_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert an image from its ICC profile to sRGB; None if the profile is broken, of another mode, or sRGB
    already."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = PROFILE_MODES.get(getattr(source.profile, "xcolor_space", ""))
        if mode != image.mode or "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
    except Exception:  # untrusted bytes: LittleCMS and Pillow raise anything
        return None


def without_profile(image: Image.Image) -> Image.Image:
    """Convert an image to RGB by Pillow's plain conversions, and LAB by LittleCMS."""
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        converted = ImageCms.profileToProfile(image, lab, _srgb(), outputMode="RGB")
        return converted if converted is not None else image.convert("RGB")
    return image.convert("RGB")


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
