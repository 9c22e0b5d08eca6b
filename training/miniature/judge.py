"""Judges: small networks that classify what a picture shows.

One judge classifies style, background, skin and hair; FD uses its features. The other classifies glasses.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from gcfg_core.concept.tensor_file import write_tensors

from ..seeds import generator, normal
from .labelled import CLASSES, UNKNOWN, Labelled

Classes = Mapping[str, tuple[str, ...]]
JUDGE, GLASSES_JUDGE = "judge.safetensors", "glasses_judge.safetensors"  # in the starter folder
FEATURES = 64
WIDTHS = (32, 64, 128)
STEPS, BATCH, RATE = 2000, 64, 2e-3
NOISE = 0.05  # in training, so that a judge tolerates residual noise of samplers
GLASSES_NOISE = 0.15  # with less, the judge takes grain in sampled faces for spectacles


class Judge(nn.Module):
    """Maps pixels [B, 3, 32, 32] in -1..1 to features [B, 64]; `answers` classifies every attribute from them.

    Args:
        classes: the values of each attribute.
    """

    def __init__(self, classes: Classes = CLASSES) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide_in, wide in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(wide_in, wide, 3, 2, 1), nn.GroupNorm(8, wide), nn.SiLU()]
            layers += [nn.Conv2d(wide, wide, 3, 1, 1), nn.GroupNorm(8, wide), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * WIDTHS[-1], FEATURES))
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, len(values)) for name, values in classes.items()})

    def forward(self, pixels: Tensor) -> Tensor:
        return F.silu(self.body(pixels))

    def answers(self, features: Tensor) -> dict[str, Tensor]:
        """Return the class of each attribute, [B]."""
        return {name: head(features.float()).argmax(1) for name, head in self.heads.items()}

    @torch.no_grad()
    def see(self, pixels: Tensor, batch: int = 256) -> Tensor:
        """Return features [N, 64] float64 of pictures [N, 3, H, W] uint8."""
        return torch.cat([self(_scaled(part)).double() for part in pixels.split(batch)])


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1.0


def train_judge(
    pictures: Labelled, classes: Classes = CLASSES, noise: float = NOISE, seed: int = 0, steps: int = STEPS
) -> Judge:
    """Train a judge on labelled pictures; equal arguments give an equal judge on the same machine.

    Args:
        pictures: training pictures.
        classes: the values of each attribute.
        noise: standard deviation of the noise added to pixels in -1..1.
        seed, steps: of the training.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Judge(classes)
    optimizer = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.05)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for step in tqdm(range(steps), "judge"):
        chosen = torch.randint(len(pictures), (BATCH,), generator=generator(seed, "judge", step))
        pixels = _scaled(pictures.pixels[chosen])
        features = judge(pixels + noise * normal(tuple(pixels.shape), seed, "judge noise", step))
        loss = torch.stack([
            F.cross_entropy(head(features), pictures.labels[name][chosen], ignore_index=UNKNOWN)
            for name, head in judge.heads.items()
        ]).sum()  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    return judge.eval()


def accuracy(judge: Judge, pictures: Labelled) -> dict[str, float]:
    """Return the share of correctly classified pictures by attribute; attributes without labels are omitted."""
    found = {}
    for name, answers in judge.answers(judge.see(pictures.pixels)).items():
        truth = pictures.labels[name]
        known = truth != UNKNOWN
        if bool(known.any()):
            found[name] = float((answers[known] == truth[known]).double().mean())
    return found


def write_judge(path: Path, judge: Judge, dtype: torch.dtype = torch.float32) -> None:
    """Write a judge's weights. Raises OSError: writing failed."""
    weights = {name: weight.to(dtype) for name, weight in judge.state_dict().items()}
    write_tensors(path, weights, {"gcfg.kind": "miniature-judge"})


def read_judge(path: Path, classes: Classes = CLASSES) -> Judge:
    """Read a judge of these classes from `write_judge`. Raises OSError, SafetensorError: the file cannot be read."""
    judge = Judge(classes)
    judge.load_state_dict(load_file(path))
    return judge.eval().requires_grad_(False)
