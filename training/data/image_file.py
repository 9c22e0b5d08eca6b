"""Open untrusted image files with Pillow."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO

from PIL import Image, UnidentifiedImageError

from .jxl_header import jxl_size
from .picture import Kind, Size, printable
from .plugins import HEAD, JXL, plugin_of, problems

# EPS would start Ghostscript, which runs the program in the file.
NEVER = frozenset({"EPS"})


class UnusablePicture(Exception):
    """A file that is not used for training. ``kind`` classifies it; the message says why."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind: Kind = kind
        self.reason = reason


@lru_cache(maxsize=1)
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's formats, including plugins, in the order in which Pillow tries them."""
    Image.init()
    problems()  # registers the plugins
    return tuple(name for name in Image.ID if name not in NEVER)


class _Limits:
    """Pillow's pixel limit is global; this applies the largest limit that any thread has requested."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.active: list[int] = []
        self.before: int | None = None

    def enter(self, limit: int) -> None:
        with self.lock:
            if not self.active:
                self.before = Image.MAX_IMAGE_PIXELS
            self.active.append(limit)
            Image.MAX_IMAGE_PIXELS = max(self.active)

    def leave(self, limit: int) -> None:
        with self.lock:
            self.active.remove(limit)
            Image.MAX_IMAGE_PIXELS = max(self.active) if self.active else self.before


_limits = _Limits()


@contextmanager
def pixel_limit(limit: int) -> Iterator[None]:
    """Let Pillow read pictures of ``limit`` pixels; above twice as many it refuses before decoding."""
    _limits.enter(limit)
    try:
        yield
    finally:
        _limits.leave(limit)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about odd files. The filters are global: use in the main thread, around its workers."""
    log = logging.getLogger("PIL")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def open_image(file: IO[bytes], max_pixels: int) -> Image.Image:
    """Open a picture's first frame without decoding it.

    Raises:
        UnusablePicture: it is not a picture, or has more than ``max_pixels``.
    """
    formats = readable_formats()
    head = file.read(HEAD)
    file.seek(0)
    if "JXL" in formats and plugin_of(head) is JXL:
        _check_jxl(head, max_pixels)
    try:
        image = Image.open(file, formats=formats)
    except UnidentifiedImageError:
        raise _unidentified(head) from None
    except Image.DecompressionBombError:
        raise UnusablePicture("huge", f"more than {max_pixels} pixels") from None
    except Exception as error:  # decoders raise anything about damaged bytes
        raise UnusablePicture("broken", error_line(error)) from None
    check_pixels(image, max_pixels)
    return image


def _unidentified(head: bytes) -> UnusablePicture:
    """Return the error about a file beginning with ``head`` that no reader accepts."""
    plugin = plugin_of(head)
    if plugin is None:
        return UnusablePicture("not an image", "no format that Pillow reads")
    if not problems()[plugin]:
        return UnusablePicture("broken", f"{plugin.title} that cannot be decoded")
    return UnusablePicture("needs a plugin", plugin.advice)


def _check_jxl(head: bytes, max_pixels: int) -> None:
    """Check the size first, because the plugin decodes the file when it opens it."""
    size = jxl_size(head)
    if size is None:
        raise UnusablePicture("broken", f"{JXL.title} without a size in its header")
    check_pixels(size, max_pixels)


def check_pixels(image: Image.Image | Size, max_pixels: int) -> None:
    """Raise UnusablePicture if an image has no pixels or more than ``max_pixels``."""
    if image.width * image.height > max_pixels:
        raise UnusablePicture("huge", f"{image.width}x{image.height}, more than {max_pixels} pixels")
    if image.width < 1 or image.height < 1:
        raise UnusablePicture("broken", f"{image.width}x{image.height} pixels")


def error_line(error: BaseException) -> str:
    """Return an exception as one line of printable characters."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(words.split()) or type(error).__name__)[:200]
