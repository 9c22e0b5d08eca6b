"""The paper's graph evaluated as its published code does: three forwards at batch 1, one after another."""

from __future__ import annotations

from typing import Any

import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher


class SequentialGuider(comfy.samplers.CFGGuider):
    """base + w_concept * (concept - base) + w_control * (base(prompt) - base), each prediction in a separate call."""

    def __init__(
        self, base: ModelPatcher, concept: ModelPatcher, prompt: list, null: list, w_concept: float, w_control: float
    ) -> None:
        super().__init__(base)
        self.concept, self.weights = concept, (w_concept, w_control)
        self.set_conds(prompt, null)
        self.concept_cond = comfy.sampler_helpers.convert_cond(null)

    def inner_sample(self, noise: torch.Tensor, latent: torch.Tensor, device: Any, *args: Any, **kwargs: Any) -> Any:
        import comfy.model_management

        comfy.model_management.load_models_gpu([self.model_patcher, self.concept])
        self.concept.pre_run()
        conds = {"negative": [part.copy() for part in self.concept_cond]}
        self.concept_conds = comfy.samplers.process_conds(self.concept.model, noise, conds, device, latent)["negative"]
        return super().inner_sample(noise, latent, device, *args, **kwargs)

    def predict_noise(
        self, x: torch.Tensor, timestep: torch.Tensor, model_options: Any = None, seed: Any = None
    ) -> Any:
        def predict(model: Any, cond: list, options: dict) -> torch.Tensor:
            return comfy.samplers.calc_cond_batch(model, [cond], x, timestep, options)[0]

        base = predict(self.inner_model, self.conds["negative"], model_options)
        control = predict(self.inner_model, self.conds["positive"], model_options)
        concept = predict(self.concept.model, self.concept_conds, self.concept.model_options)
        return base + self.weights[0] * (concept - base) + self.weights[1] * (control - base)
