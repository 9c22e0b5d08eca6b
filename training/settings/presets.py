"""Presets: named groups of settings. A configuration file and flags override them."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # arXiv 2312.08195, the authors' FFHQ and AFHQv2 configurations: SD1.5 at 512 px, 8-bit Adam, batches of 32.
    "paper": {
        "data": {"resolution": 512, "flip": 0.5, "captions": "none"},
        "model": {"kind": "null-text", "train_constant": False},
        "optimizer": {"optimizer": "adamw8bit", "lr": 1e-5, "lr_schedule": "constant"},
        "ema": {"ema": "constant", "ema_decay": 0.9999},
        "loop": {"batch_size": 8, "accumulation": 4, "precision": "fp16"},
    },
    # SD1.5 on a consumer GPU: the paper's recipe in less memory.
    "small-gpu": {
        "data": {"resolution": 512},
        "model": {"kind": "null-text"},
        "optimizer": {"optimizer": "adamw8bit", "lr": 1e-5, "warmup_steps": 100},
        "loss": {"min_snr_gamma": 5.0},
        "ema": {"ema": "power", "sigma_rels": [0.1]},
        "loop": {"batch_size": 1, "accumulation": 16, "precision": "bf16", "gradient_checkpointing": True},
    },
    # Minutes on a CPU with a miniature base, to try every step.
    "cpu-tiny": {
        "data": {"resolution": 64, "workers": 0},
        "optimizer": {"lr": 1e-4},
        "loop": {"batch_size": 4, "steps": 200, "device": "cpu"},
        "record": {"save_every": 50, "log_every": 5},
        "model": {"calibration_images": 16},
    },
    # A small file to share: LoRA adapters on the frozen null-text network.
    "lora": {
        "model": {"kind": "null-text-lora", "lora_rank": 16},
        "optimizer": {"lr": 1e-4, "warmup_steps": 100},
        "loss": {"min_snr_gamma": 5.0},
        "loop": {"batch_size": 4, "accumulation": 4, "precision": "bf16", "steps": 5000},
    },
}
