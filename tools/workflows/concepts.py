"""Graphs of null-text concept models: the paper's own, and other uses."""

from __future__ import annotations

from .cast import STABLE_DIFFUSION, Cast
from .graph import Workflow
from .parts import (
    base_and_concept,
    base_model,
    concept,
    concept_and_control_terms,
    first_latent,
    masked,
    picture,
    prompt_and_null,
    sampler,
    source_latent,
    term,
    text,
)

PAPER = "[arXiv 2312.08195](https://arxiv.org/abs/2312.08195)"


def concept_and_control(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "concept_and_control",
        "Concept and control",
        "A concept model, trained on pictures alone, brings the look of its concept; the untouched base model obeys "
        "the prompt. This is the graph of *Concept-centric Personalization with Large-scale Diffusion Priors* "
        f"({PAPER}). The base condition is the empty prompt.",
        "D = base\n  + 2.5 * (concept - base)          fidelity\n  + 2.5 * (base(prompt) - base)     control",
        "3 evaluations a step.",
        (
            "Change one weight at a time, from 0 to 5: more concept, or more prompt.",
            "Set a term's weight to 0: it is not evaluated any more, and the GCFG Sampler's text says so.",
            "Write what to avoid into the base prompt, as in KSampler's negative.",
        ),
        cast,
    )
    base, concept_model = base_and_concept(flow)
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a portrait of a smiling woman with curly hair, in a garden",
            starter="a face, dark skin, red hair, blue background",
        )  # fmt: skip
    control = concept_and_control_terms(flow, concept_model, prompt)
    with flow.column("Sampling"):
        latent = first_latent(flow, base)
        result = sampler(flow, base, null, latent, terms=control)
    picture(flow, result, base["VAE"])
    return flow


def two_concepts(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "two_concepts",
        "Two concepts at once",
        "Two concept models in one graph, each with its own weight, and a prompt over both. They never saw each "
        "other's pictures; the base model they are compared with is the same, so their differences add.",
        "D = base\n  + 1 * (first - base)\n  + 0.5 * (second - base)\n  + 3 * (base(prompt) - base)",
        "4 evaluations a step: the base is shared by all terms.",
        (
            "The larger weight dominates. Move weight from one to the other: 0.75 and 0.75, 0.5 and 1.",
            "First concept from 0 % to 40 %, second from 40 % to 100 %: one composes, the other paints.",
            "Give each concept a mask: both in one picture, side by side.",
        ),
        cast,
    )
    with flow.column("Models"):
        base = base_model(flow)
        first_model = concept(flow, cast.concept, "First concept")
        second_model = concept(flow, cast.second_concept, "Second concept")
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a portrait of an old man with a beard",
            starter="a face, light skin, black hair, purple background",
        )  # fmt: skip
    with flow.column("Guidance: two concepts, one prompt"):
        first = term(flow, "First concept term", model=first_model, weight=1.0, label="first")
        second = term(flow, "Second concept term", terms=first, model=second_model, weight=0.5, label="second")
        control = term(flow, "Control term", terms=second, positive=prompt, weight=3.0, label="control")
    with flow.column("Sampling"):
        latent = first_latent(flow, base)
        result = sampler(flow, base, null, latent, terms=control)
    picture(flow, result, base["VAE"])
    return flow


def weight_curves(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "weight_curves",
        "Weight curves",
        "Weights that change while the picture forms. The concept ramps in and out; the prompt is strong at first and "
        "falls along a cosine; a second prompt for the finish is keyed in from the middle on. Positions follow the "
        "noise level, so every sampler and step count gives the same course.",
        "D = base\n  + 3 * ramp * (concept - base)\n  + 6 * cosine to 0.4 * (base(prompt) - base)\n"
        "  + 2 * keyframes * (base(finish) - base)",
        "4 evaluations a step, fewer where a factor is exactly 0.",
        (
            "Keyframes are position:factor pairs, 0 the window's start and 1 its end: try 0:1, 0.3:0.",
            "curve linear with curve_end -0.5: a term that turns against itself at the end.",
            "Change the number of steps: the picture keeps its character.",
        ),
        cast,
    )
    base, concept_model = base_and_concept(flow)
    with flow.column("Prompts"):
        prompt = text(
            flow, base["CLIP"], "a portrait of a young man with a hat, by a window", "Prompt",
            starter="a face, brown skin, black hair, yellow background",
        )  # fmt: skip
        finish = text(
            flow, base["CLIP"], "fine skin texture, soft light, film grain", "Finish",
            starter="a face, glasses",
        )  # fmt: skip
        null = text(flow, base["CLIP"], "", "Base condition (empty)")
    with flow.column("Guidance: three curves"):
        fidelity = term(
            flow, "Concept: ramp", model=concept_model, weight=3.0, curve="ramp", curve_ramp=0.3, label="concept"
        )
        control = term(
            flow, "Prompt: cosine", terms=fidelity, positive=prompt,
            weight=6.0, curve="cosine", curve_end=0.4, label="control",
        )  # fmt: skip
        details = term(
            flow, "Finish: keyframes", terms=control, positive=finish,
            weight=2.0, curve="keyframes", keyframes="0.5:0, 0.7:1, 1:1", label="finish",
        )  # fmt: skip
    with flow.column("Sampling"):
        latent = first_latent(flow, base)
        result = sampler(flow, base, null, latent, terms=details)
    picture(flow, result, base["VAE"])
    return flow


def image_to_image(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "image_to_image",
        "Image to image",
        f"The paper's image translation ({PAPER}): a picture is noised part of the way and sampled from there with a "
        "concept and a prompt, so that it keeps its layout and takes on the concept.",
        "D = base\n  + 2.5 * (concept - base)\n  + 2.5 * (base(prompt) - base)     starting at denoise 0.6",
        "3 evaluations a step.",
        (
            "denoise 0.3 keeps nearly everything, 0.8 little more than the composition.",
            "Control weight 0: translation by the concept alone, without any prompt.",
            "Windows count on the whole schedule: at denoise 0.6 sampling begins well after 0 %.",
        ),
        cast,
    )
    base, concept_model = base_and_concept(flow)
    with flow.below("Picture"):
        latent, _ = source_latent(flow, base)
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a portrait photograph",
            starter="a face, light skin, blond hair, purple background",
        )  # fmt: skip
    control = concept_and_control_terms(flow, concept_model, prompt)
    with flow.column("Sampling"):
        result = sampler(flow, base, null, latent, terms=control, denoise=0.6)
    picture(flow, result, base["VAE"])
    return flow


def inpainting(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "inpainting",
        "Inpainting",
        "A part of a picture is sampled anew with a concept and a prompt; the rest stays. Right-click the picture, "
        "Open in MaskEditor, and paint over what shall change: with nothing painted nothing changes.",
        "D = base\n  + 2 * (concept - base)\n  + 4 * (base(prompt) - base)     inside the mask",
        "3 evaluations a step.",
        (
            "denoise 0.5 keeps more of what was there.",
            "Connect the painted mask to one term's mask input as well: the other term then sees the whole picture.",
            "Paint roughly and a little larger than the thing.",
        ),
        cast,
    )
    base, concept_model = base_and_concept(flow)
    with flow.below("Picture and mask"):
        encoded, mask = source_latent(flow, base)
        latent = flow.add("SetLatentNoiseMask", samples=encoded, mask=masked(flow, mask))
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a smiling face",
            starter="a face, dark skin, gray hair, red background",
        )  # fmt: skip
    control = concept_and_control_terms(flow, concept_model, prompt, (2.0, 4.0))
    with flow.column("Sampling"):
        result = sampler(flow, base, null, latent, terms=control, denoise=0.85)
    picture(flow, result, base["VAE"])
    return flow
