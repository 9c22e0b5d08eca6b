"""The same nodes on other families of models: SDXL, a flow model, a video model."""

from __future__ import annotations

from .graph import Workflow
from .models import ANIMAGINE_XL, SD35, SDXL, WAN, WAN_TEXT, WAN_VAE
from .parts import (
    checkpoint,
    concept_and_control_terms,
    empty_latent,
    picture,
    prompt_and_null,
    sampler,
    term,
    text,
)


def sdxl() -> Workflow:
    flow = Workflow(
        "sdxl",
        "SDXL",
        "Concept and control on SDXL. The concept is a public fine-tune under the empty prompt, so it brings its look "
        "and never reads the text; SDXL base obeys the prompt. A null-text SDXL concept from Load Concept Model goes "
        "into the same place and is faster.",
        "D = base\n  + 1.5 * (anime - base)\n  + 5 * (base(prompt) - base)",
        "3 evaluations a step.",
        (
            "Concept weight 0 to 3: from SDXL base to the fine-tune's own look.",
            "Start the concept at 30 %: SDXL base composes, the concept paints.",
            "Another fine-tune of SDXL, or a second one as a further term.",
        ),
    )
    with flow.column("Models"):
        base = checkpoint(flow, SDXL, "Base model")
        anime = checkpoint(flow, ANIMAGINE_XL, "Concept: a fine-tuned model")
    with flow.column("Prompts"):
        prompt, null = prompt_and_null(flow, base, "a violinist on a rooftop above a city at dusk")
    control = concept_and_control_terms(flow, anime, prompt, (1.5, 5.0), label="anime")
    with flow.column("Sampling"):
        latent = empty_latent(flow, 1024)
        result = sampler(flow, base, null, latent, terms=control)
    picture(flow, result, base["VAE"])
    return flow


def flow_model() -> Workflow:
    flow = Workflow(
        "flow_model",
        "Flow model",
        "Guidance graphs need no diffusion model of the old kind: here Stable Diffusion 3.5, a flow model. Subject and "
        "style are two prompts with weights and curves of their own.",
        "D = base\n  + 4 * (base(subject) - base)\n  + 2 * linear to 0.5 * (base(style) - base)     from 10 %",
        "3 evaluations a step, in one batch; 2 before 10 %.",
        (
            "Style weight from 0 to 4; its start later for a style that leaves the composition alone.",
            "Any other flow model: change the loader, the rest stays.",
            "Write what to avoid into the base prompt.",
        ),
    )
    with flow.column("Models"):
        base = checkpoint(flow, SD35)
    with flow.column("Prompts"):
        subject = text(flow, base["CLIP"], "a steam locomotive crossing a stone bridge over a gorge", "Subject")
        style = text(flow, base["CLIP"], "japanese woodblock print, flat colors, fine lines", "Style")
        null = text(flow, base["CLIP"], "", "Base condition (empty)")
    with flow.column("Guidance: subject and style"):
        control = term(flow, "Subject term", positive=subject, weight=4.0, label="subject")
        look = term(
            flow, "Style term", terms=control, positive=style,
            weight=2.0, start_percent=0.1, curve="linear", curve_end=0.5, label="style",
        )  # fmt: skip
    with flow.column("Sampling"):
        latent = flow.add("EmptySD3LatentImage", width=1024, height=1024, batch_size=1)
        result = sampler(flow, base, null, latent, terms=look, sampler_name="euler", scheduler="sgm_uniform")
    picture(flow, result, base["VAE"])
    return flow


def video_model() -> Workflow:
    flow = Workflow(
        "video_model",
        "Video model",
        "Wan 2.1 text to video: one prompt for the scene, a second one for the movement, which acts in the first half "
        "of sampling, where a video's motion is decided. The base condition is a negative prompt.",
        "D = base(negative)\n  + 5 * (base(scene) - base(negative))\n"
        "  + 2 * (base(movement) - base(negative))     until 50 %",
        "3 evaluations a step in the first half, 2 in the second.",
        (
            "Movement weight 0 to 4, or another end_percent.",
            "Modify Guidance Term with refresh 2 after the movement term: half its cost.",
            "Fewer frames (length 17) for a first look.",
        ),
    )
    with flow.column("Models"):
        loaded = flow.add("UNETLoader", "", (WAN,), unet_name=WAN.name, weight_dtype="default")
        base = flow.add("ModelSamplingSD3", model=loaded, shift=8.0)
        clip = flow.add("CLIPLoader", "", (WAN_TEXT,), clip_name=WAN_TEXT.name, type="wan")
        vae = flow.add("VAELoader", "", (WAN_VAE,), vae_name=WAN_VAE.name)
    with flow.column("Prompts"):
        scene = text(flow, clip, "a fox in a snowy forest at golden hour, shallow depth of field", "Scene")
        movement = text(flow, clip, "the fox runs fast towards the camera, snow flies up", "Movement")
        negative = text(flow, clip, "static, blurry, low quality, subtitles", "Base condition (negative prompt)")
    with flow.column("Guidance: scene and movement"):
        control = term(flow, "Scene term", positive=scene, weight=5.0, label="scene")
        motion = term(
            flow, "Movement term", terms=control, positive=movement, weight=2.0, end_percent=0.5, label="movement"
        )
    with flow.column("Sampling"):
        latent = flow.add(
            "EmptyHunyuanLatentVideo", "Empty video latent", width=832, height=480, length=33, batch_size=1
        )
        result = sampler(
            flow, base, negative, latent, terms=motion, steps=30, sampler_name="uni_pc", scheduler="simple"
        )
    with flow.column("Video"):
        frames = flow.add("VAEDecode", samples=result, vae=vae)
        flow.add("SaveAnimatedWEBP", images=frames, filename_prefix=f"gcfg/{flow.name}", fps=16.0, lossless=False,
                 quality=85, method="default")  # fmt: skip
    return flow
