"""One guidance graph with every feature that a graph can have."""

from typing import Any

import comfy.samplers

from rigs.graphs import gcfg
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_model

C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))


class MixedGraph:
    """A graph of every kind of branch: the base twice, a LoRA clone of it, another model and its clone."""

    def __init__(self, pack: Any) -> None:
        self.pack = pack
        self.base, self.other = micro_model(0), micro_model(5)
        self.lora, self.clone = with_lora(self.base, 1), with_lora(self.other, 2)
        self.clone = pack.run("ModelSamplingDiscrete", model=self.clone, sampling="lcm")[0]
        self.models = [self.base, self.other, self.lora, self.clone]
        self.terms = [
            {"positive": C, "weight": 3.0},
            {"positive": D, "weight": -0.5},
            {"model": self.lora, "positive": C, "weight": 1.5},
            {"model": self.other, "weight": 2.0},
            {"model": self.clone, "positive": E, "reference_model": self.other, "weight": 0.7},
        ]
        self.guider = self.make_guider()

    def make_guider(self) -> comfy.samplers.CFGGuider:
        """Make a guider of the models in their current state."""
        return gcfg(self.pack, self.base, U, *self.terms)
