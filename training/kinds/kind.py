"""The interface of a kind of concept: how to start, build, check and export its network."""

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
    """A kind of concept that can be trained. A subclass must implement every method."""

    @property
    @abstractmethod
    def has_constants(self) -> bool:
        """True if a run without `start` first measures null-text constants."""

    @abstractmethod
    def read_start(self, start: str, base: Base, model: ModelConfig) -> dict[str, Tensor]:
        """Read and check a start file; return its tensors by their names in the UNet.

        Raises:
            InputError: the file cannot be read, is of another kind, or belongs to another base.
        """

    @abstractmethod
    def empty_start(self, base: Base) -> dict[str, Tensor]:
        """Return the start tensors of a run without `start`, with zeros for the values that will be measured."""

    @abstractmethod
    def network(self, base: Base, start: Mapping[str, Tensor], config: RunConfig) -> Network:
        """Build the network to train, around the base's UNet.

        Args:
            base: the base model, changed in place.
            start: from `read_start`, or the measured constants.
            config: the run's settings.

        Raises:
            InputError: `start` does not fit the base or the settings.
        """

    @abstractmethod
    def concept(
        self, base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, model: Mapping[str, Any], title: str
    ) -> AnyConcept:
        """Return a trained network as a concept.

        Args:
            base: the base that it was trained from.
            state: trained and frozen tensors by their names in the UNet.
            facts: facts about the run.
            model: settings of the section "model".
            title: name for people.
        """

    @abstractmethod
    def check(self, state: Mapping[str, Tensor], base: Base, model: Mapping[str, Any], name: str) -> None:
        """Raise InputError if a checkpoint's tensors do not have the base's shapes; ``name`` is the checkpoint's."""
