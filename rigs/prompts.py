"""A small API-format prompt, and the tiny models that it and a server may begin with."""

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
