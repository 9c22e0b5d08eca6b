"""One graph under many settings, in one labelled picture."""

from __future__ import annotations

from .cast import Cast
from .graph import Workflow
from .parts import base_and_concept, concept_and_control_terms, first_latent, prompt_and_null, sampling


def sweep(cast: Cast) -> Workflow:
    flow = Workflow(
        "sweep",
        "Sweep of two weights",
        "The paper's graph under sixteen pairs of weights, with one seed: to the right the prompt counts more, "
        "downwards the concept. GCFG Sweep samples one picture after another, as GCFG Sampler would, and labels them; "
        "models are loaded once. Cancel keeps the pictures that are done.",
        "D = base\n  + rows * (concept - base)\n  + columns * (base(prompt) - base)",
        "3 evaluations a step of each picture, fewer where a weight is 0 or the base cancels.",
        (
            "Write other values, such as 0:6:4 (from 0 to 6 in four even steps), or a negative one.",
            "Rows: choose seed, and give it the values 1, 2, 3: the same weights on other pictures.",
            "Columns: choose end_percent with 0.25, 0.5, 0.75, 1: for how long the prompt is needed.",
        ),
        cast,
    )
    base, concept_model = base_and_concept(flow)
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a portrait of a smiling woman with curly hair, in a garden",
            starter="a face, dark skin, red hair, blue background",
        )  # fmt: skip
    with flow.below("Latent"):
        latent = first_latent(flow, base)
    control = concept_and_control_terms(flow, concept_model, prompt)
    with flow.column("What changes"):
        columns = flow.add("GCFG_SweepAxis", "Columns", parameter="weight", term="control", values="0, 1.5, 3, 4.5")
        rows = flow.add("GCFG_SweepAxis", "Rows", parameter="weight", term="concept", values="0, 1, 2, 3")
    with flow.column("Sampling"):
        grid = flow.add(
            "GCFG_Sweep", model=base, conditioning=null, latent_image=latent, vae=base["VAE"], columns=columns,
            rows=rows, terms=control, size=cast.enlarged // 2, **sampling(flow),
        )  # fmt: skip
    with flow.column("Picture"):
        flow.add("SaveImage", images=grid["grid"], filename_prefix=f"gcfg/{flow.name}")
    return flow
