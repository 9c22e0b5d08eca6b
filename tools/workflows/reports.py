"""A graph with a report on each of its terms."""

from __future__ import annotations

from .cast import Cast
from .graph import Workflow
from .parts import base_and_concept, first_latent, picture, prompt_and_null, sampler, term


def report(cast: Cast) -> Workflow:
    flow = Workflow(
        "report",
        "What each term does",
        "Which term does what, and when? Guidance Report draws how hard each term pushed at every step, whether with "
        "the others or against them, and what it cost. Compare Predictions shows the picture that each prediction "
        "alone would give in the middle of sampling, beside the result of all. Both read what GCFG Sampler noted on "
        "its way: nothing is sampled again for them.",
        "D = base\n  + 1.5 * ramp * (concept - base)\n  + 4 * cosine to 0 * (base(prompt) - base)",
        "3 evaluations a step, 2 at the first, where the ramp is still 0.",
        (
            "Change a weight and queue again: the report follows. Save its picture first, to compare the two.",
            "draw everything: also the terms' weights and sizes by themselves.",
            "preview_at on the sampler: 0.2 for an early moment, 0.8 for a late one.",
        ),
        cast,
    )
    base, concept_model = base_and_concept(flow)
    with flow.below("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a portrait of a smiling woman with curly hair, in a garden",
            starter="a face, brown skin, gray hair, yellow background",
        )  # fmt: skip
    with flow.below("Latent"):
        latent = first_latent(flow, base)
    with flow.column("Guidance: two curves"):
        fidelity = term(
            flow, "Concept term", model=concept_model, weight=1.5, curve="ramp", curve_ramp=0.3, label="concept"
        )
        control = term(
            flow, "Control term", terms=fidelity, positive=prompt,
            weight=4.0, curve="cosine", curve_end=0.0, label="control",
        )  # fmt: skip
    with flow.column("Sampling"):
        result = sampler(flow, base, null, latent, terms=control, preview_at=0.5)
    with flow.column("What each term did"):
        flow.add("GCFG_Report", trace=result["trace"])
    with flow.below("What each prediction was"):
        flow.add("GCFG_ComparePredictions", trace=result["trace"], vae=base["VAE"])
    picture(flow, result, base["VAE"])
    return flow
