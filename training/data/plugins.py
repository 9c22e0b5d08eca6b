"""Image formats that Pillow reads through further packages: used if installed, named in errors if not."""

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from PIL import features

HEAD = 4096  # bytes of a file that identify its format
JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
# Brands of ISO base media files (ISO/IEC 23008-12, B.4; AVIF 1.1, 6): a file names at least one brand.
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})


@dataclass(frozen=True)
class Plugin:
    """A package that adds a format to Pillow.

    Attributes:
        title: the format's name, for people.
        module: to import; importing registers the format, or `REGISTER` does.
        package: to install.
        format: Pillow's name of the format.
    """

    title: str
    module: str
    package: str
    format: str

    @property
    def is_needed(self) -> bool:
        """True if Pillow cannot read the format by itself."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an older Pillow warns about unknown features
            return self is not AVIF or not features.check("avif")

    @property
    def advice(self) -> str:
        """Why a picture of the format could not be opened, and the remedy."""
        return f"{self.title}: {problems()[self]}"


HEIF = Plugin("HEIC or HEIF picture", "pillow_heif", "pillow-heif", "HEIF")
JXL = Plugin("JPEG XL picture", "pillow_jxl", "pillow-jxl-plugin", "JXL")
AVIF = Plugin("AVIF picture", "pillow_avif", "pillow-avif-plugin", "AVIF")
PLUGINS = (HEIF, JXL, AVIF)
REGISTER: dict[str, Callable[[ModuleType], None]] = {"pillow_heif": lambda module: module.register_heif_opener()}


@lru_cache(maxsize=1)
def problems() -> dict[Plugin, str]:
    """Register the installed plugins; map each plugin to why its format cannot be read, or ""."""
    return {plugin: _problem(plugin) if plugin.is_needed else "" for plugin in PLUGINS}


def _problem(plugin: Plugin) -> str:
    try:
        module = importlib.import_module(plugin.module)
        REGISTER.get(plugin.module, lambda module: None)(module)
    except ModuleNotFoundError as error:
        return f"pip install {plugin.package if error.name == plugin.module else error.name}"
    except Exception as error:  # a package of another version or for another system
        return f"{plugin.package} cannot be used ({' '.join(str(error).split())})"
    return ""


def plugin_versions() -> dict[str, str]:
    """Return the versions of the packages in use; they affect which files are readable."""
    versions = {}
    for plugin in PLUGINS:
        if plugin.is_needed and not problems()[plugin]:
            try:
                versions[plugin.package] = version(plugin.package)
            except PackageNotFoundError:
                versions[plugin.package] = "?"
    return versions


def plugin_of(head: bytes) -> Plugin | None:
    """Return the plugin for a file beginning with ``head``, or None."""
    if head.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
        return JXL
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, end - 3, 4))}
    if brands & AVIF_BRANDS:
        return AVIF
    return HEIF if brands & HEIF_BRANDS else None
