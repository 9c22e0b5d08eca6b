"""Load Concept Model: a file from models/gcfg_concepts or models/diffusion_models becomes a MODEL."""

from __future__ import annotations

import os
from typing import Any

from comfy_api.latest import io

from ..gcfg_core.errors import ConceptFileError
from .comfyui.types import CATEGORY, search_aliases
from .loading.concept_loader import WEIGHT_DTYPES, load_model_file
from .loading.model_folders import CONCEPT_FOLDERS, concept_names, concept_path


class LoadConceptModelNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_LoadConceptModel",
            display_name="Load Concept Model",
            category=CATEGORY,
            description="Loads a concept model for a guidance term: a null-text UNet, which ignores the prompt, or any "
            "ordinary diffusion model. The MODEL works in every node that takes one.",
            inputs=[
                io.Combo.Input(
                    "concept_name",
                    options=concept_names(),
                    tooltip="A file from models/gcfg_concepts (null-text concepts, also the paper authors' own .bin "
                    "and .pt files) or models/diffusion_models (any diffusion model ComfyUI can load).",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    default="default",
                    tooltip="How weights are kept in memory; fp8 halves it and costs some quality. Neutral: default. A "
                    "LoRA concept keeps its base model's.",
                ),
                io.Model.Input(
                    "base_model",
                    optional=True,
                    tooltip="For a LoRA concept alone: the model it was trained from. Its weights are shared, not "
                    "copied. Other files do not need it.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model",
                    display_name="model",
                    tooltip="For a Guidance Term's model input, or for any other node. A null-text concept gives the "
                    "same prediction whatever conditioning it gets.",
                )
            ],
            **search_aliases(
                "gcfg", "null text", "nulltext", "concept checkpoint", "unet loader", "load diffusion model"
            ),
        )

    @classmethod
    def fingerprint_inputs(cls, concept_name: str, weight_dtype: str = "default", base_model: Any = None) -> str:
        """Load a file again when it was exported again under its old name."""
        path = concept_path(concept_name)
        if path is None:
            return ""
        facts = os.stat(path)
        return f"{path} {facts.st_mtime_ns} {facts.st_size}"

    @classmethod
    def execute(cls, concept_name: str, weight_dtype: str = "default", base_model: Any = None) -> io.NodeOutput:
        path = concept_path(concept_name)
        try:
            if path is None:
                raise ConceptFileError.saying(
                    concept_name,
                    f"There is no file of this name in models/{' or models/'.join(CONCEPT_FOLDERS)}. Put it there and "
                    "refresh the node list (key R).",
                )
            return io.NodeOutput(load_model_file(path, weight_dtype, base_model))
        except ConceptFileError as error:
            on_base = error.name.startswith("base_model")
            where = f"Load Concept Model, input {error.name if on_base else f'concept_name: {error.name}'}"
            raise error.of(where) from error
