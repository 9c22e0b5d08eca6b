"""The models of the experiment: shipped with the pack, or trained for comparison."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gcfg_core.errors import InputError
from gcfg_core.world.page import TEXT, UNET

from ..durable import sha256_of
from .settings import BASE, Setting


@dataclass(frozen=True)
class Models:
    """Locations of the models.

    Args:
        starter: folder with world/ and concepts/.
        trained: a further folder with concepts/, for example models after other numbers of steps; may be missing.
    """

    starter: Path
    trained: Path

    @property
    def world(self) -> Path:
        return self.starter / "world"

    @property
    def names(self) -> set[str]:
        """Names of all existing models."""
        found = (path.stem for folder in self._folders for path in folder.glob("*.safetensors"))
        return {BASE, *found}

    def file(self, name: str) -> Path:
        """Return a model's file; the base's is the world's UNet.

        Raises:
            InputError: the model does not exist.
        """
        places = [self.world / UNET] if name == BASE else [at / f"{name}.safetensors" for at in self._folders]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            raise InputError(name, "a model in concepts/", f"none in {self.starter} or {self.trained}", "Train it.")
        return found

    def digest(self, setting: Setting) -> str:
        """Return a SHA-256 over all files that a setting's pictures depend on."""
        return hashlib.sha256("".join(self.digests(setting).values()).encode()).hexdigest()

    def digests(self, setting: Setting) -> dict[str, str]:
        """Return the SHA-256 of each file that a setting's pictures depend on, by model name."""
        return {TEXT: _digest(self.world / TEXT), **{name: _digest(self.file(name)) for name in setting.models}}

    def contradict(self, digests: Mapping[str, str]) -> bool:
        """True if an existing model differs from its hash in ``digests``."""
        there = {name: self.file(name) for name in self.names.intersection(digests)} | {TEXT: self.world / TEXT}
        return any(_digest(path) != digests[name] for name, path in there.items())

    @property
    def _folders(self) -> tuple[Path, Path]:
        return self.starter / "concepts", self.trained / "concepts"


@functools.cache
def _digest(path: Path) -> str:
    return sha256_of(path)
