"""Small API-format prompts, and the tiny models that stand in for the ones a workflow names."""

from pathlib import Path

from rigs.checkpoints import tiny_checkpoint
from rigs.concepts import tiny_concept

Prompt = dict[str, dict]


def plain_sampling(checkpoint: str, steps: int = 3, size: int = 64, seed: int = 1) -> Prompt:
    """Text to image with core nodes alone."""
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["1", 1]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": size, "height": size, "batch_size": 1}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["3", 0],
                "latent_image": ["4", 0],
                "seed": seed,
                "steps": steps,
                "cfg": 3.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "plain"}},
    }


def tiny_models() -> dict[str, dict[str, Path]]:
    """Model files for a server: {model folder: {file name: file}}."""
    return {
        "checkpoints": {"tiny-sd15.safetensors": tiny_checkpoint("sd15")},
        "gcfg_concepts": {"tiny-concept.safetensors": tiny_concept("sd15")},
    }


def concept_and_control(checkpoint: str, concept: str, steps: int = 3, size: int = 64) -> Prompt:
    """The paper's graph: base + 2.5 * (concept - base) + 2.5 * (base with the prompt - base)."""
    prompt = plain_sampling(checkpoint, steps, size)
    prompt["8"] = {
        "class_type": "GCFG_LoadConceptModel",
        "inputs": {"concept_name": concept, "weight_dtype": "default"},
    }
    prompt["9"] = _term(model=["8", 0], label="concept")
    prompt["10"] = _term(positive=["2", 0], terms=["9", 0], label="control")
    prompt["5"] = {
        "class_type": "GCFG_Sampler",
        "inputs": {
            "model": ["1", 0],
            "conditioning": ["3", 0],
            "terms": ["10", 0],
            "latent_image": ["4", 0],
            "seed": 1,
            "steps": steps,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "denoise": 1.0,
            "rescale": 0.0,
        },
    }
    return prompt


def _term(label: str, **sockets: list) -> dict:
    widgets = {
        "weight": 2.5,
        "start_percent": 0.0,
        "end_percent": 1.0,
        "curve": "constant",
        "curve_end": 0.0,
        "curve_ramp": 0.25,
        "keyframes": "0:1, 1:0",
        "label": label,
    }
    return {"class_type": "GCFG_GuidanceTerm", "inputs": {**widgets, **sockets}}
