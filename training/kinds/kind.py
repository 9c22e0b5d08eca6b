"""A kind of concept that can be trained: one object that answers every question of `Kind`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gcfg_core.concept.forms import AnyConcept

from ..base.model import Base
from ..export.facts import TrainingFacts
from ..settings.config import ModelConfig, RunConfig
from .network import Network


class Kind(ABC):
    """What is trained; a subclass that leaves a question open cannot be made."""

    @property
    @abstractmethod
    def has_constants(self) -> bool:
        """Whether a run without `start` measures null-text constants, which it starts from."""

    @abstractmethod
    def read_start(self, start: str, base: Base, model: ModelConfig) -> dict[str, Tensor]:
        """Read and check the file that a run starts from: tensors by their names in the UNet.

        Raises:
            InputError: it cannot be read, is no file of this kind, or is another base's.
        """

    @abstractmethod
    def empty_start(self, base: Base) -> dict[str, Tensor]:
        """The tensors that a run without `start` starts from, zero in place of what it measures."""

    @abstractmethod
    def network(self, base: Base, start: Mapping[str, Tensor], config: RunConfig) -> Network:
        """Build the network that is trained; the base's UNet becomes a part of it.

        Args:
            base: the base model, changed in place.
            start: as `read_start` gives it, or with the measured constants.
            config: of the run.

        Raises:
            InputError: `start` is not of this base, or settings do not fit it.
        """

    @abstractmethod
    def concept(
        self, base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, model: Mapping[str, Any], title: str
    ) -> AnyConcept:
        """The concept of a trained network.

        Args:
            base: what it was trained from.
            state: trained and frozen tensors by their names in the UNet.
            facts: about the run.
            model: its settings of the section "model".
            title: a name for people.
        """

    @abstractmethod
    def check(self, state: Mapping[str, Tensor], base: Base, model: Mapping[str, Any], name: str) -> None:
        """Raise InputError where a checkpoint's tensors are not of the base's shape; ``name`` is the checkpoint's."""
