"""Formats that Pillow reads with a package beside it: used where it is installed, named where it is not."""

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from PIL import features

HEAD = 4096  # bytes of a file that tell what it is
JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
# Brands of ISO base media files (ISO/IEC 23008-12, B.4; AVIF 1.1, 6): any file of that kind names one of them.
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})


@dataclass(frozen=True)
class Plugin:
    """A package that teaches Pillow a format.

    Attributes:
        title: of the format, for people.
        module: to import; that alone registers the format, or `register` does.
        package: to install.
        format: Pillow's name of it.
    """

    title: str
    module: str
    package: str
    format: str

    @property
    def is_needed(self) -> bool:
        """Whether Pillow cannot read the format by itself."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a feature that an older Pillow does not know
            return self is not AVIF or not features.check("avif")

    @property
    def advice(self) -> str:
        """Why a picture of the format could not be opened, and what to do about it."""
        return f"{self.title}: {problems()[self]}"


HEIF = Plugin("HEIC or HEIF picture", "pillow_heif", "pillow-heif", "HEIF")
JXL = Plugin("JPEG XL picture", "pillow_jxl", "pillow-jxl-plugin", "JXL")
AVIF = Plugin("AVIF picture", "pillow_avif", "pillow-avif-plugin", "AVIF")
PLUGINS = (HEIF, JXL, AVIF)
REGISTER: dict[str, Callable[[ModuleType], None]] = {"pillow_heif": lambda module: module.register_heif_opener()}


@lru_cache(maxsize=1)
def problems() -> dict[Plugin, str]:
    """Registers the plugins that are installed; of each, why its format cannot be read, "" where it can."""
    return {plugin: _problem(plugin) if plugin.is_needed else "" for plugin in PLUGINS}


def _problem(plugin: Plugin) -> str:
    try:
        module = importlib.import_module(plugin.module)
        REGISTER.get(plugin.module, lambda module: None)(module)
    except ModuleNotFoundError as error:
        return f"pip install {plugin.package if error.name == plugin.module else error.name}"
    except Exception as error:  # a package of another version, or for another system
        return f"{plugin.package} cannot be used ({' '.join(str(error).split())})"
    return ""


def plugin_versions() -> dict[str, str]:
    """The packages in use and their versions: what a file is taken for depends on them."""
    found = {}
    for plugin in PLUGINS:
        if plugin.is_needed and not problems()[plugin]:
            try:
                found[plugin.package] = version(plugin.package)
            except PackageNotFoundError:
                found[plugin.package] = "?"
    return found


def plugin_of(head: bytes) -> Plugin | None:
    """The plugin for a file that begins with ``head``; None for every other file."""
    if head.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
        return JXL
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, end - 3, 4))}
    if brands & AVIF_BRANDS:
        return AVIF
    return HEIF if brands & HEIF_BRANDS else None
