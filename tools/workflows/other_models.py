"""Graphs whose terms have their own models: fine-tunes, weaker versions, LoRAs, ControlNets."""

from __future__ import annotations

from .cast import STABLE_DIFFUSION, Cast
from .graph import Workflow
from .models import BLINDBOX_LORA, CANNY, DREAMSHAPER, SD14_UNET, SD15
from .parts import (
    base_model,
    checkpoint,
    empty_latent,
    first_latent,
    picture,
    prompt_and_null,
    sampler,
    source_image,
    term,
    text,
    tuned_model,
)


def autoguidance() -> Workflow:
    flow = Workflow(
        "autoguidance",
        "Autoguidance",
        "A model guided by a bad version of itself ([arXiv 2406.02507](https://arxiv.org/abs/2406.02507)): what the "
        "better model does differently under the same prompt is exaggerated. Here SD 1.5 is guided by SD 1.4, which "
        "saw fewer training steps; a prompt term keeps it on the subject.",
        "D = base + 4 * (base(prompt) - base)\n  + 1.5 * (base(prompt) - weaker(prompt))",
        "3 evaluations a step: base(prompt) serves both terms.",
        (
            "Weight 1.5 is the paper's scale 2.5: it counts from the plain prediction.",
            "Any weaker model of the family will do, such as an early checkpoint of your own training.",
            "Prompt into the base condition and no prompt term: autoguidance alone, as in the paper.",
        ),
    )
    with flow.column("Models"):
        base = checkpoint(flow, SD15, "Base model")
        weaker = flow.add(
            "UNETLoader", "Weaker model", (SD14_UNET,), unet_name=SD14_UNET.name, weight_dtype="default"
        )  # fmt: skip
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(flow, base, "a tabby cat sleeping on a stack of books, photograph")
    with flow.column("Guidance: prompt and quality"):
        control = term(flow, "Control term", positive=prompt, weight=4.0, label="control")
        quality = term(
            flow, "Autoguidance term", terms=control, positive=prompt, reference_model=weaker, reference=prompt,
            weight=1.5, label="weaker",
        )  # fmt: skip
    with flow.column("Sampling"):
        latent = empty_latent(flow)
        result = sampler(flow, base, null, latent, terms=quality)
    picture(flow, result, base["VAE"])
    return flow


def domain_guidance(cast: Cast = STABLE_DIFFUSION) -> Workflow:
    flow = Workflow(
        "domain_guidance",
        "Domain guidance",
        "A fine-tuned model under the prompt, guided away from the model that it was tuned from, without a prompt "
        "([arXiv 2504.01521](https://arxiv.org/abs/2504.01521)): the step from the general to the tuned domain is "
        "amplified, and the original model's unconditional prediction does not drift.",
        "D = base + 5 * (tuned(prompt) - base)",
        "2 evaluations a step, one of each model.",
        (
            "Swap in a model that you trained from the starter world with --kind text."
            if cast.is_starter
            else "Swap in any SD 1.5 fine-tune.",
            "Compare with plain CFG on the tuned model: connect it as the sampler's model and delete the term's.",
            "Add a prompt term on the base model for more obedience.",
        ),
        cast,
    )
    with flow.column("Models"):
        base = base_model(flow, "Original model")
        tuned, clip = tuned_model(flow, base, "Fine-tuned model")
    with flow.column("Prompts"):
        prompt = text(
            flow, clip, "a knight in ornate armor in a misty forest", "Prompt (tuned encoder)",
            starter="a face, dark skin, blond hair, green background",
        )  # fmt: skip
        null = text(flow, base["CLIP"], "", "Base condition (empty)")
    with flow.column("Guidance: one term, two models"):
        domain = term(flow, "Domain term", model=tuned, positive=prompt, weight=5.0, label="tuned")
    with flow.column("Sampling"):
        latent = first_latent(flow, base)
        result = sampler(flow, base, null, latent, terms=domain)
    picture(flow, result, base["VAE"])
    return flow


def lora_on_one_branch() -> Workflow:
    flow = Workflow(
        "lora_on_one_branch",
        "LoRA on one branch only",
        "A LoRA as a term of its own: what it changes under the same prompt is added with a weight, a window or a "
        "mask, while the base model and the prompt's guidance stay free of it. Both branches share one "
        "checkpoint in memory and give the numbers of two separate ones.",
        "D = base + 6 * (base(prompt) - base)\n  + 2 * (lora(prompt) - base(prompt))",
        "3 evaluations a step: base(prompt) serves both terms.",
        (
            "LoRA term's weight from 0 to 4, or negative: less of the style than the base has.",
            "start_percent 0.3 on the LoRA term: the base composes, the LoRA styles.",
            "A second LoRA on another branch: put one more Load LoRA on the base model and one more term.",
        ),
    )
    with flow.column("Models"):
        base = checkpoint(flow, SD15, "Base model")
        lora = flow.add(
            "LoraLoaderModelOnly", "", (BLINDBOX_LORA,),
            model=base, lora_name=BLINDBOX_LORA.name, strength_model=1.0,
        )  # fmt: skip
    with flow.column("Prompts"):
        prompt = text(flow, base["CLIP"], "full body, chibi, a girl with a red umbrella, white background", "Prompt")
        null = text(flow, base["CLIP"], "lowres, text", "Base condition (negative prompt)")
    with flow.column("Guidance: prompt and LoRA"):
        control = term(flow, "Control term", positive=prompt, weight=6.0, label="control")
        style = term(
            flow, "LoRA term", terms=control, model=lora, positive=prompt, reference=prompt, weight=2.0, label="lora"
        )
    with flow.column("Sampling"):
        latent = empty_latent(flow)
        result = sampler(flow, base, null, latent, terms=style)
    picture(flow, result, base["VAE"])
    return flow


def controlnet_on_control() -> Workflow:
    flow = Workflow(
        "controlnet_on_control",
        "ControlNet on the control term",
        "Edges of a picture steer the prompt's term alone; the concept term and the base run without the ControlNet, "
        "which costs nothing there. The concept is an ordinary fine-tuned model under the empty prompt: every model of "
        "the family can be one.",
        "D = base\n  + 1.5 * (tuned - base)\n  + 5 * (base(prompt, edges) - base)",
        "3 evaluations a step, the ControlNet in one of them.",
        (
            "Connect Apply ControlNet's second output as the sampler's conditioning: edges on both sides of the term.",
            "end_percent 0.6 of Apply ControlNet: edges for the composition only.",
            "Two terms with the same prompt, one with edges and one without, weighted as you like.",
        ),
    )
    with flow.column("Models"):
        base = checkpoint(flow, SD15, "Base model")
        tuned = checkpoint(flow, DREAMSHAPER, "Concept: a fine-tuned model")
        network = flow.add("ControlNetLoader", "", (CANNY,), control_net_name=CANNY.name)
    with flow.below("Edges"):
        _, image = source_image(flow)
        edges = flow.add("Canny", image=image, low_threshold=0.3, high_threshold=0.7)
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(flow, base, "a house made of gingerbread and candy")
        controlled = flow.add(
            "ControlNetApplyAdvanced", positive=prompt, negative=null, control_net=network, image=edges, strength=0.9
        )
    with flow.column("Guidance: concept and control"):
        fidelity = term(flow, "Concept term", model=tuned, weight=1.5, label="tuned")
        control = term(flow, "Control term", terms=fidelity, positive=controlled, weight=5.0, label="control")
    with flow.column("Sampling"):
        latent = empty_latent(flow)
        result = sampler(flow, base, null, latent, terms=control)
    picture(flow, result, base["VAE"])
    return flow
