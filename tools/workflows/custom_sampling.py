"""A graph as a GUIDER, for everything that KSampler (Advanced) can do, and more."""

from __future__ import annotations

from .cast import STABLE_DIFFUSION, Cast
from .graph import Node, Workflow
from .parts import SEED, Source, base_and_concept, first_latent, picture, prompt_and_null, term


def two_stages(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "two_stages",
        "Two stages with GCFG Guider",
        "GCFG Guider gives a guidance graph to SamplerCustomAdvanced, and with it everything that KSampler (Advanced) "
        "offers: steps from and to, leftover noise, noise or none, any sampler and schedule. The first 60 % of the "
        "steps follow the prompt alone; the rest adds the concept, with another sampler, and goes on from the noise "
        "that the first stage left.",
        "first:  D = base + 5 * (base(prompt) - base)\n"
        "then:   D = base + 2.5 * (concept - base) + 2.5 * (base(prompt) - base)",
        "2 evaluations a step in the first stage, 3 in the second.",
        (
            "SplitSigmasDenoise is where the second stage begins: 0.4 means the last 40 % of the steps.",
            "Connect denoised_output instead of output for a stage that starts from a clean picture, with RandomNoise.",
            "One stage only, with another pack's sampler or schedule: delete the second one.",
        ),
        cast,
    )
    base, concept_model = base_and_concept(flow)
    with flow.below("Schedule"):
        sigmas = flow.add("BasicScheduler", model=base, scheduler=cast.scheduler, steps=25, denoise=1.0)
        stages = flow.add("SplitSigmasDenoise", sigmas=sigmas, denoise=0.4)
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a portrait of a woman reading in a library",
            starter="a face, brown skin, red hair, white background",
        )  # fmt: skip
    with flow.below("Latent"):
        latent = first_latent(flow, base)
    with flow.column("Guidance, first stage"):
        strong = term(flow, "Prompt alone", positive=prompt, weight=5.0, label="control")
        first_guider = flow.add("GCFG_Guider", model=base, conditioning=null, terms=strong)
    with flow.below("Guidance, second stage"):
        fidelity = term(flow, "Concept term", model=concept_model, weight=2.5, label="concept")
        control = term(flow, "Control term", terms=fidelity, positive=prompt, weight=2.5, label="control")
        second_guider = flow.add("GCFG_Guider", model=base, conditioning=null, terms=control)
    with flow.column("Sampling, first stage"):
        noise = flow.add("RandomNoise", noise_seed=SEED)
        first = _stage(flow, noise, first_guider, "euler", stages["high_sigmas"], latent)
    with flow.below("Sampling, second stage"):
        no_noise = flow.add("DisableNoise")
        second = _stage(flow, no_noise, second_guider, "dpmpp_2m", stages["low_sigmas"], first["output"])
    picture(flow, second, base["VAE"])
    return flow


def _stage(flow: Workflow, noise: Node, guider: Node, name: str, sigmas: Source, latent: Source) -> Node:
    sampler = flow.add("KSamplerSelect", sampler_name=name)
    return flow.add(
        "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas, latent_image=latent
    )
