"""Measure the trainer against diffusers' example loop: images per second, on the same base, pictures and settings.

Usage: python dev.py bench training [--side 256] [--batch 4] [--steps 4] [--turns 3]

The loops take turns, so that a slow period of the machine affects all of them; the medians over all steps are
compared. Caching of latents and the null text are switched one by one, so that the effect of each is visible.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from torch import nn

from bench.diffusers_example import CAPTION, ExampleLoop
from bench.small_base import small_base
from gcfg_core.concept.null_text import remove_text_attention
from training.launch.session import open_run
from training.processes.machine import open_machine
from training.settings.config import RunConfig

LR = 1e-5


class OurLoop:
    """A run of our trainer, with its latents cached and its network built."""

    def __init__(self, base: Path, pictures: Path, output: Path, side: int, batch: int, kind: str) -> None:
        config = RunConfig.model_validate({
            "base": str(base), "output": str(output),
            "data": {"images": str(pictures), "resolution": side, "workers": 0,
                     "captions": "sidecar" if kind == "text" else "none"},
            "model": {"kind": kind, "calibration_images": 4}, "optimizer": {"lr": LR},
            "ema": {"sigma_rels": [0.1]},
            "loop": {"batch_size": batch, "device": "cpu", "steps": 10_000}, "record": {"log_every": 10_000},
        })  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.trainer, _ = open_run(config, open_machine(config.loop))
        self.stepper = self.trainer._stepper()
        self.trainer.network.train()
        self.batches: Iterator[Any] = iter(self.trainer.feed.batches(0, config.loop.steps, 0, 1))

    def step(self) -> None:
        """Train one step, as `Trainer.run` does between two logs."""
        trainer = self.trainer
        loss, norm = self.stepper.run(next(self.batches), trainer.step)
        trainer.step += 1
        trainer.averages.update(trainer.step)
        trainer.moments.add(trainer.step, LR, loss, norm)


def resident(trained: nn.Module, *frozen: nn.Module) -> float:
    """Return the MB of float32 tensors that stay in memory: weights, and for trained weights also gradients, Adam's two
    averages, and an average of the weights."""
    return (20 * _count(trained) + 4 * sum(map(_count, frozen))) / 1e6


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def pictures(folder: Path, count: int, side: int) -> Path:
    """Write PNG files of noise, a little larger than the training size, each with its caption."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in range(count):
        pixels = draw.integers(0, 256, (side + 64, side + 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
        (folder / f"{i:03}.txt").write_text(CAPTION)
    return folder


def turns(loops: dict[str, Callable[[], object]], steps: int, count: int) -> dict[str, float]:
    """Return the median seconds of a step of each loop."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for step in loops.values():
        step()
    for _ in range(count):
        for name, step in loops.items():
            for _ in range(steps):
                start = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def forward_and_backward(unet: nn.Module, states: torch.Tensor | None, side: int, batch: int) -> Callable[[], None]:
    """Return the network's own part of a step."""
    x, t = torch.randn(batch, 4, side // 8, side // 8), torch.arange(batch) * 100
    unet = unet.train()

    def step() -> None:
        unet(x, t, states).sample.square().mean().backward()
        unet.zero_grad(set_to_none=True)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="pixels of a picture's side (default 256)")
    parser.add_argument("--batch", type=int, default=4, help="pictures of a batch (default 4)")
    parser.add_argument("--steps", type=int, default=4, help="steps a turn (default 4)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each loop (default 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(Path(temporary), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    side, batch = options.side, options.batch
    pipeline = small_base(folder / "base")
    images = pictures(folder / "pictures", 4 * batch, side)
    null_text = remove_text_attention(copy.deepcopy(pipeline.unet))
    full = ExampleLoop(copy.deepcopy(pipeline.unet), pipeline, images, side, batch, LR, text=True)
    without_text = ExampleLoop(copy.deepcopy(null_text), pipeline, images, side, batch, LR, text=False)
    cached = OurLoop(folder / "base", images, folder / "text", side, batch, "text")
    ours = OurLoop(folder / "base", images, folder / "null", side, batch, "null-text")
    loops = {"example": full.step, "null text": without_text.step, "cached": cached.step, "ours": ours.step}
    medians = turns(loops, options.steps, options.turns)

    memory = {
        "example": resident(pipeline.unet, pipeline.vae, pipeline.text_encoder),
        "null text": resident(null_text, pipeline.vae),
        "cached": resident(pipeline.unet, pipeline.text_encoder),
        "ours": resident(null_text),
    }
    names = {
        "example": "diffusers' example: full UNet, VAE and text encoder in every step",
        "null text": "the same with null text",
        "cached": "our trainer, kind text: latents cached, captions encoded",
        "ours": "our trainer: latents cached, null text",
    }
    parameters = f"{_count(pipeline.unet) / 1e6:.1f} M parameters"
    machine = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    print(f"\ndiffusers {diffusers.__version__}, torch {torch.__version__}, {machine};")
    print(f"SD1.5's layers at about a quarter of their width ({parameters}), {side} px, batch {batch}, fp32, AdamW,")
    print(f"an average of the weights; {options.turns} turns of {options.steps} steps each\n")
    print("| loop | s a step | images/s | ratio | wanted | weights, gradients, moments, average, MB |")
    print("|---|---|---|---|---|---|")
    for name, seconds in medians.items():
        wanted = ">= 1.2" if name == "ours" else "-"
        ratio = medians["example"] / seconds
        print(
            f"| {names[name]} | {seconds:.3f} | {batch / seconds:.2f} | {ratio:.2f} | {wanted} | {memory[name]:.0f} |"
        )
    states = torch.randn(batch, 77, pipeline.unet.config.cross_attention_dim)
    networks = {
        "full": forward_and_backward(copy.deepcopy(pipeline.unet), states, side, batch),
        "null": forward_and_backward(null_text, None, side, batch),
    }
    step = turns(networks, options.steps, options.turns)
    print(f"\nforward and backward alone: null-text {step['null']:.3f} s, full UNet {step['full']:.3f} s, "
          f"ratio {step['null'] / step['full']:.3f} (wanted < 1)")  # fmt: skip


if __name__ == "__main__":
    main()
