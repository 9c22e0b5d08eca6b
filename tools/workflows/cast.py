"""The models of a workflow: public checkpoints, or the small models that come with the pack and run anywhere at
once."""

from __future__ import annotations

from dataclasses import dataclass

from .models import CONCEPT, DREAMSHAPER, SD15, SECOND_CONCEPT, ModelFile

WORLD_TITLE = "Miniature world"  # of starter/world/world.json, under which Load Starter World lists it


@dataclass(frozen=True)
class Cast:
    """The models of one family that a workflow uses.

    Attributes:
        prefix: of the workflow's name.
        base: checkpoint of the base model; None: the starter world.
        concept, second_concept: null-text models.
        tuned: a fine-tune of the base that reads text.
        side: of the pictures, in pixels.
        enlarged: side of the saved picture.
        sampler, scheduler: that suit the models.
    """

    prefix: str
    base: ModelFile | None
    concept: ModelFile
    second_concept: ModelFile
    tuned: ModelFile
    side: int
    enlarged: int
    sampler: str
    scheduler: str

    @property
    def is_starter(self) -> bool:
        return self.base is None


STABLE_DIFFUSION = Cast("", SD15, CONCEPT, SECOND_CONCEPT, DREAMSHAPER, 512, 512, "dpmpp_2m", "karras")
STARTER = Cast(
    "starter_",
    None,
    ModelFile("toon.safetensors", "starter"),
    ModelFile("pixel.safetensors", "starter"),
    ModelFile("toon_with_text.safetensors", "starter"),
    32,
    256,
    "ddim",
    "sgm_uniform",
)
