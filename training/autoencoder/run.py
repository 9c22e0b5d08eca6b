"""Train a tiny autoencoder; an interrupted run continues from its last checkpoint to the same weights."""

import copy
import math
import sys
from typing import Any

import torch
from torch import Tensor, nn

from gcfg_core.errors import InputError
from gcfg_core.world.tiny_autoencoder import Block, TinyAutoencoder

from ..console.progress_bar import bar
from ..seeds import generator, normal, seed_of, uniform
from ..state.checkpoint import CHECKPOINTS, Checkpoint, read_checkpoint, recover, write_checkpoint
from .config import AutoencoderConfig
from .loss import ReconstructionLoss
from .muon import Muon
from .pictures import read_pixels

SETTINGS = "settings"  # in a checkpoint's state
FLOOR = 0.01  # last learning rate, relative to the peak
PULL = 1e-3  # weight of the latents' mean square, which keeps them from growing faster than their scale is measured


def train_autoencoder(config: AutoencoderConfig) -> TinyAutoencoder:
    """Train to the last step and return the network, whose latents have about unit variance.

    Raises:
        InputError: there are no pictures, the weights of EfficientNet-Lite0 are missing, the run began with other
            settings, the loss is not finite, or a checkpoint could not be written.
        OSError: a picture cannot be read.
    """
    if not config.pictures:
        raise InputError("pictures", "pictures to train on", "none", "Give at least one.")
    run = _Run(config)
    run.resume()
    shown = bar("VAE", "step", config.steps, iterable=range(run.step, config.steps), initial=run.step)
    for _ in shown:
        loss = run.advance()
        if not math.isfinite(loss):
            raise InputError(str(config.output), "a finite loss", f"{loss} at step {run.step}", "Lower lr.")
        shown.set_postfix(loss=f"{loss:.3f}", refresh=False)
        if run.step % config.save_every == 0 or run.step == config.steps:
            run.save()
    return scaled(run.network, run.scale)


class LatentScale(nn.Module):
    """Scales latents [B, C, h, w] to mean 0 and variance 1, as measured over the last steps.

    The statistics of a batch of crops would not do: they depend on its colours, which the decoder could not know.

    Args:
        channels: C.
    """

    MOMENTUM = 0.01
    mean: Tensor
    square: Tensor
    steps: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("square", torch.zeros(channels))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, latents: Tensor) -> Tensor:
        self.steps += 1
        share = max(self.MOMENTUM, 1.0 / float(self.steps))
        now = latents.detach()
        self.mean.lerp_(now.mean((0, 2, 3)), share)
        self.square.lerp_(now.square().mean((0, 2, 3)), share)
        return (latents - self.mean[:, None, None]) / self.deviation[:, None, None]

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of each channel, [C]."""
        return (self.square - self.mean.square()).clamp_min(1e-6).sqrt()


@torch.no_grad()
def scaled(network: TinyAutoencoder, scale: LatentScale) -> TinyAutoencoder:
    """Return a copy whose encoder does what network and scale do together, in eval mode, not to be trained."""
    folded = copy.deepcopy(network)
    last: Any = folded.taesd_encoder[-1]
    last.weight.div_(scale.deviation[:, None, None, None])
    last.bias.sub_(scale.mean).div_(scale.deviation)
    return folded.eval().requires_grad_(False)


class _Run:
    """The network and its optimizers at a step."""

    def __init__(self, config: AutoencoderConfig) -> None:
        self.config, self.step = config, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(config.seed, "autoencoder"))
            network = TinyAutoencoder(config.widths, config.channels)
            _initialize(network)
        self.network = network
        self.scale = LatentScale(config.channels)
        weights, biases = ([value for value in network.parameters() if value.ndim == ndim] for ndim in (4, 1))
        self.optimizers = (
            Muon(weights, config.lr),
            torch.optim.AdamW(biases, config.bias_lr, betas=(0.9, 0.99), weight_decay=0.0),
        )
        self.loss = ReconstructionLoss(config.feature_weight)

    def advance(self) -> float:
        """Train one step; return the loss."""
        config, place = self.config, (self.config.seed, "autoencoder", self.step)
        wanted = _crops(config, place).contiguous(memory_format=torch.channels_last)
        latents = self.scale(self.network.encode(wanted))
        levels = torch.tensor([config.noise * uniform(*place, "level", slot) for slot in range(config.batch)])
        noise = levels[:, None, None, None] * normal(tuple(latents.shape), *place, "noise")
        loss = self.loss(self.network.decode(latents + noise), wanted, self.step / config.steps)
        self.network.zero_grad()
        (loss + PULL * latents.square().mean()).backward()
        for optimizer, rate in zip(self.optimizers, (config.lr, config.bias_lr), strict=True):
            optimizer.param_groups[0]["lr"] = rate * _share(self.step, config)
            optimizer.step()
        self.step += 1
        return float(loss.detach())

    def save(self) -> None:
        tensors = {
            "weights": self.network.state_dict(),
            "scale": self.scale.state_dict(),
        }
        for number, optimizer in enumerate(self.optimizers):
            state = optimizer.state_dict()["state"]
            tensors[f"optimizer-{number}"] = {
                f"{place}.{name}": value for place, own in state.items() for name, value in own.items()
            }
        packed = {part: {key: value.contiguous() for key, value in own.items()} for part, own in tensors.items()}
        state = {SETTINGS: self.config.facts()}
        write_checkpoint(self.config.output / CHECKPOINTS, Checkpoint(self.step, packed, state), keep_last=1)

    def resume(self) -> None:
        path, damages = recover(self.config.output / CHECKPOINTS)
        for damage in damages:
            print(damage, file=sys.stderr)
        if path is None:
            return
        saved = read_checkpoint(path)
        began, now = saved.state[SETTINGS], self.config.facts()
        for name in now:
            if began.get(name) != now[name]:
                raise InputError(f"{self.config.output}: {name}", f"{began.get(name)}, with which the run began",
                                 str(now[name]), "Remove the folder to begin anew.")  # fmt: skip
        self.network.load_state_dict(saved.tensors["weights"])
        self.scale.load_state_dict(saved.tensors["scale"])
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in saved.tensors[f"optimizer-{number}"].items():
                place, name = key.split(".")
                state.setdefault(int(place), {})[name] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self.step = saved.step


@torch.no_grad()
def _initialize(network: TinyAutoencoder) -> None:
    """Draw weights that keep the signal's variance through ReLUs (arXiv 1502.01852), with blocks that begin as the
    identity, and pixels centred around gray: with torch's own values colours fade on the way and are learned late."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    blocks: list[Any] = [layer for layer in network.modules() if isinstance(layer, Block)]
    for block in blocks:
        nn.init.zeros_(block.conv[-1].weight)
    first: Any = network.taesd_encoder[0]
    last: Any = network.taesd_decoder[-1]
    first.bias.copy_(-0.5 * first.weight.sum((1, 2, 3)))
    last.bias.fill_(0.5)


def _share(step: int, config: AutoencoderConfig) -> float:
    """Return the learning rate at a step relative to its peak."""
    rising = min(1.0, (step + 1) / config.warmup_steps)
    return rising * (FLOOR + (1.0 - FLOOR) * (0.5 + 0.5 * math.cos(math.pi * step / config.steps)))


def _crops(config: AutoencoderConfig, place: tuple[int | str, ...]) -> Tensor:
    """Draw pictures, places and orders of red, green and blue; return crops [B, 3, crop, crop] in -1..1.

    A drawing has few colours. In exchanged ones rare colours are as frequent as the others, which they would otherwise
    be taken for.
    """
    chosen = torch.randint(len(config.pictures), (config.batch,), generator=generator(*place, "pictures"))
    pixels = [read_pixels(config.pictures[index]) for index in chosen.tolist()]
    return torch.stack([_crop(one, config.crop, (*place, "crop", slot)) for slot, one in enumerate(pixels)])


def _crop(pixels: Tensor, side: int, place: tuple[int | str, ...]) -> Tensor:
    y, x = (int(uniform(*place, axis) * (have - side + 1)) for axis, have in zip("yx", pixels.shape[-2:], strict=True))
    order = torch.randperm(3, generator=generator(*place, "colours")) if uniform(*place, "exchange") < 0.5 else ...
    return pixels[order, y : y + side, x : x + side]
