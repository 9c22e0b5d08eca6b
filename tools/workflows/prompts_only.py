"""Graphs that need one checkpoint and nothing else."""

from __future__ import annotations

from .cast import STABLE_DIFFUSION, Cast
from .graph import Workflow
from .parts import base_model, first_latent, picture, prompt_and_null, sampler, term, text


def plain_cfg(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "plain_cfg",
        "Plain CFG",
        "Classifier-free guidance as the smallest guidance graph: one term on the base model. The picture is the one "
        "that KSampler gives at cfg 7, to the bit.",
        "D = base(negative) + 7 * (base(prompt) - base(negative))",
        "2 evaluations a step.",
        (
            "Put a KSampler beside it with cfg 7 and the same seed: the pictures are equal.",
            "Weight 1: one evaluation a step, since the negative prompt cancels.",
            "Add a second Guidance Term after the first one.",
        ),
        cast,
    )
    with flow.column("Models"):
        base = base_model(flow)
    with flow.column("Prompts"):
        prompt = text(
            flow, base["CLIP"], "a lighthouse on a cliff at sunset, oil painting", "Prompt",
            starter="a big ears face, dark skin, blond hair, blue background",
        )  # fmt: skip
        negative = text(
            flow, base["CLIP"], "blurry, text, watermark", "Base condition (negative prompt)",
            starter="glasses",
        )  # fmt: skip
    with flow.column("Guidance: one term"):
        control = term(flow, "Control term", positive=prompt, weight=7.0, label="control")
    with flow.column("Sampling"):
        latent = first_latent(flow, base)
        result = sampler(flow, base, negative, latent, terms=control)
    picture(flow, result, base["VAE"])
    return flow


def negative_term(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "negative_term",
        "Negative term",
        "A term with a negative weight pushes away from its prompt, with a strength of its own (composable diffusion). "
        "Modify Guidance Term removes from it whatever points along the first term, so that avoiding something does "
        "not undo the prompt (Perp-Neg, [arXiv 2304.04968](https://arxiv.org/abs/2304.04968)).",
        "D = base\n  + 7 * (base(prompt) - base)\n  - 2 * away from the prompt(base(avoid) - base)",
        "3 evaluations a step.",
        (
            "Projection off: plain composable diffusion. With two prompts that overlap you see the difference.",
            "Avoid weight from -0.5 to -4.",
            "Start percent 0.2 on the avoid term: the composition forms first.",
        ),
        cast,
    )
    with flow.column("Models"):
        base = base_model(flow)
    with flow.column("Prompts"):
        prompt = text(
            flow, base["CLIP"], "a glass of orange juice on a wooden table, photograph", "Prompt",
            starter="a face, light skin, red hair, blue background",
        )  # fmt: skip
        avoid = text(
            flow, base["CLIP"], "oranges, fruit", "What to avoid",
            starter="glasses",
        )  # fmt: skip
        null = text(flow, base["CLIP"], "", "Base condition (empty)")
    with flow.column("Guidance: towards, away"):
        control = term(flow, "Control term", positive=prompt, weight=7.0, label="control")
        away = term(flow, "Negative term", terms=control, positive=avoid, weight=-2.0, label="avoid")
        away = flow.add("GCFG_ModifyTerm", "Perp-Neg", terms=away, projection="primary term")
    with flow.column("Sampling"):
        latent = first_latent(flow, base)
        result = sampler(flow, base, null, latent, terms=away)
    picture(flow, result, base["VAE"])
    return flow


def windowed_control(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "windowed_control",
        "Windowed control",
        "Guidance in a limited interval ([arXiv 2404.07724](https://arxiv.org/abs/2404.07724)): strong guidance at the "
        "highest noise costs variety, at the lowest it costs time and gives nothing. The first term (weight 1) is the "
        "plain prompt, always on; the second adds guidance between 15 % and 75 % of sampling.",
        "D = base + 1 * (base(prompt) - base)\n  + 6 * (base(prompt) - base)     from 15 % to 75 %",
        "2 evaluations a step in the window, 1 outside: there the weights of the empty prompt cancel.",
        (
            "Move start_percent and end_percent; the sampler's text tells what it saves.",
            "Raise the guidance weight to 12: inside a window it stays usable.",
            "Delete the first term: outside the window the model then ignores the prompt.",
        ),
        cast,
    )
    with flow.column("Models"):
        base = base_model(flow)
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(
            flow, base, "a red fox in fresh snow, morning light, photograph",
            starter="an adventurer face, light skin, red hair, yellow background",
        )  # fmt: skip
    with flow.column("Guidance: always, and in a window"):
        always = term(flow, "Prompt, always", positive=prompt, weight=1.0, label="prompt")
        windowed = term(
            flow, "Guidance, 15 % to 75 %", terms=always, positive=prompt,
            weight=6.0, start_percent=0.15, end_percent=0.75, label="guidance",
        )  # fmt: skip
    with flow.column("Sampling"):
        latent = first_latent(flow, base)
        result = sampler(flow, base, null, latent, terms=windowed)
    picture(flow, result, base["VAE"])
    return flow


def regional_masks(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "regional_masks",
        "Regional masks",
        "One prompt for the whole picture and one for each half. A mask limits a term to its region, at full strength "
        "where it is white; Merge Guidance Terms puts the chains together.",
        "D = base + 3 * (base(scene) - base)\n  + 4 * left * (base(left prompt) - base)\n"
        "  + 4 * right * (base(right prompt) - base)",
        "4 evaluations a step, in one batch.",
        (
            "Draw your own regions: Load Image, Open in MaskEditor, its MASK instead of these.",
            "Give one region a model of its own: connect it to that term's model input.",
            "end_percent 0.5 on both regions: they place things, the scene prompt finishes.",
        ),
        cast,
    )
    with flow.column("Models"):
        base = base_model(flow)
    with flow.below("Masks: left half, right half"):
        side = cast.side
        black = flow.add("SolidMask", "Whole picture, black", value=0.0, width=side, height=side)
        white = flow.add("SolidMask", "Left half, white", value=1.0, width=side // 2, height=side)
        left_mask = flow.add("MaskComposite", destination=black, source=white, x=0, y=0, operation="add")
        right_mask = flow.add("InvertMask", mask=left_mask)
    with flow.column("Prompts"):
        scene = text(
            flow, base["CLIP"], "two animals on a meadow, watercolor", "Scene",
            starter="a face, blue background",
        )  # fmt: skip
        left = text(
            flow, base["CLIP"], "a white rabbit, watercolor", "Left",
            starter="a face, dark skin, gray hair",
        )  # fmt: skip
        right = text(
            flow, base["CLIP"], "a brown bear, watercolor", "Right",
            starter="a face, light skin, red hair",
        )  # fmt: skip
        null = text(flow, base["CLIP"], "", "Base condition (empty)")
    with flow.column("Guidance: scene and regions"):
        everywhere = term(flow, "Scene term", positive=scene, weight=3.0, label="scene")
        at_left = term(flow, "Left term", positive=left, mask=left_mask, weight=4.0, label="left")
        at_right = term(flow, "Right term", positive=right, mask=right_mask, weight=4.0, label="right")
    with flow.column("Sampling"):
        merged = flow.add("GCFG_MergeTerms", terms_1=everywhere, terms_2=at_left, terms_3=at_right)
        latent = first_latent(flow, base)
        result = sampler(flow, base, null, latent, terms=merged)
    picture(flow, result, base["VAE"])
    return flow
