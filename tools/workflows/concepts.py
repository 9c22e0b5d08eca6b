"""Concept models and control: the paper's own graphs."""

from __future__ import annotations

from .graph import Workflow
from .models import CONCEPT, SD15
from .parts import checkpoint, concept, empty_latent, picture, sampler, term, text


def concept_and_control() -> Workflow:
    flow = Workflow(
        "concept_and_control",
        "Concept and control",
        "The graph of *Concept-centric Personalization with Large-scale Diffusion Priors* "
        "([arXiv 2312.08195](https://arxiv.org/abs/2312.08195)). A concept model, trained on pictures alone, brings "
        "the look of its concept; the untouched base model obeys the prompt. The base condition is the empty prompt.",
        "D = base\n  + 2.5 * (concept - base)          fidelity\n  + 2.5 * (base(prompt) - base)     control",
        "3 evaluations a step.",
        (
            "Change one weight at a time, from 0 to 5: more concept, or more prompt.",
            "Set a term's weight to 0: it is not evaluated any more, and the GCFG Sampler's text says so.",
            "Write what to avoid into the base prompt, as in KSampler's negative.",
        ),
    )
    with flow.column("Models"):
        base = checkpoint(flow, SD15, "Base model")
        concept_model = concept(flow, CONCEPT)
    with flow.column("Prompts"):
        prompt = text(flow, base["CLIP"], "a portrait of a smiling woman with curly hair, in a garden", "Prompt")
        null = text(flow, base["CLIP"], "", "Base condition (empty)")
    with flow.column("Guidance: two terms"):
        fidelity = term(flow, "Concept term", model=concept_model, weight=2.5, label="concept")
        control = term(flow, "Control term", terms=fidelity, positive=prompt, weight=2.5, label="control")
    with flow.column("Sampling"):
        latent = empty_latent(flow)
        result = sampler(flow, base, null, latent, terms=control)
    picture(flow, result, base["VAE"])
    return flow
