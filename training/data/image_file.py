"""Open files of any kind with Pillow, without trusting them."""

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

# EPS starts Ghostscript: a program that runs what the file says, no picture.
NEVER = frozenset({"EPS"})


class UnusablePicture(Exception):
    """A file that is not trained on. ``kind`` sorts it, the message tells people why."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind: Kind = kind
        self.reason = reason


@lru_cache(maxsize=1)
def readable_formats() -> tuple[str, ...]:
    """Pillow's formats, those of plugins included, in the order in which Pillow tries them."""
    Image.init()
    problems()  # registers them
    return tuple(name for name in Image.ID if name not in NEVER)


class _Limits:
    """Pillow keeps its pixel limit in a global; here the greatest of those that threads have asked for holds."""

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
    """Let Pillow read pictures of ``limit`` pixels, and refuse those of more than twice as many before decoding."""
    _limits.enter(limit)
    try:
        yield
    finally:
        _limits.leave(limit)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's words about odd files. Both filters are global: for the main thread, around its workers."""
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
    """The first frame of a picture, not decoded yet.

    Raises:
        UnusablePicture: no picture, or one of more than ``max_pixels``.
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
    except Exception as error:  # decoders raise anything when bytes are wrong
        raise UnusablePicture("broken", error_line(error)) from None
    check_pixels(image, max_pixels)
    return image


def _unidentified(head: bytes) -> UnusablePicture:
    """What is wrong with a file that begins with ``head`` and that no format's reader took."""
    plugin = plugin_of(head)
    if plugin is None:
        return UnusablePicture("not an image", "no format that Pillow reads")
    if not problems()[plugin]:
        return UnusablePicture("broken", f"{plugin.title} that cannot be decoded")
    return UnusablePicture("needs a plugin", plugin.advice)


def _check_jxl(head: bytes, max_pixels: int) -> None:
    """Look at the size before the plugin opens the file, which decodes it."""
    size = jxl_size(head)
    if size is None:
        raise UnusablePicture("broken", f"{JXL.title} without a size at its beginning")
    check_pixels(size, max_pixels)


def check_pixels(image: Image.Image | Size, max_pixels: int) -> None:
    """Raise UnusablePicture where an image has no pixels or more than ``max_pixels``."""
    if image.width * image.height > max_pixels:
        raise UnusablePicture("huge", f"{image.width}x{image.height}, more than {max_pixels} pixels")
    if image.width < 1 or image.height < 1:
        raise UnusablePicture("broken", f"{image.width}x{image.height} pixels")


def error_line(error: BaseException) -> str:
    """An exception in one line of printable characters."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(words.split()) or type(error).__name__)[:200]
