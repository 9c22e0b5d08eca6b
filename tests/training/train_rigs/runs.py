"""Small training runs: a tiny base and made-up latents."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from gcfg_core.concept.null_text import record_text_attention
from training.base.model import Base, Condition
from training.base.noise_schedule import noise_schedule
from training.base.world_codec import PixelCodec
from training.kinds.table import kind_of
from training.loop.step import Batch
from training.loop.trainer import CHECKPOINTS, Trainer, open_trainer
from training.processes.machine import global_batch, open_machine
from training.seeds import normal, seed_of
from training.settings.config import RunConfig
from training.settings.read import merged, run_config
from training.state.checkpoint import latest_checkpoint
from training.state.constants import kept_constants, read_constants
from training.state.record import open_record, result_settings

from .toy_unet import toy_config

UNET = toy_config(4, [64, 64])
SETTINGS: dict[str, Any] = {
    "base": "toy",
    "data": {"images": "toy", "workers": 0},
    "optimizer": {"lr": 1e-3},
    "loop": {"steps": 6, "batch_size": 2, "device": "cpu"},
    "record": {"save_every": 2, "log_every": 1},
}


def settings(folder: Path, **sections: Any) -> dict[str, Any]:
    """Settings of a toy run in a folder; sections come on top."""
    return merged(merged(SETTINGS, {"output": str(folder)}), sections)


def toy_base(seed: int = 0, prediction_type: str = "epsilon") -> Base:
    """A random UNet with a random null condition; no VAE for its latents and no text encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet: Any = UNet2DConditionModel.from_config(UNET).eval()
    null = Condition(normal((1, 5, UNET["cross_attention_dim"]), seed, "null"))
    schedule = noise_schedule(prediction_type=prediction_type)
    return Base("toy", f"toy-{seed}", unet, dict(UNET), schedule, PixelCodec(), null, None, "SD15")


class ToyFeed:
    """Smooth latents, one family: each batch holds pictures drawn by the step and slot alone."""

    def __init__(self, batch: int, seed: int, pictures: int = 8, held: int = 0, delay: float = 0.0) -> None:
        self.batch, self.seed, self.pictures, self.held, self.delay = batch, seed, pictures, held, delay
        self.digest = f"toy-{pictures}"

    def batches(self, start_step: int, steps: int, rank: int, world: int) -> Iterator[Batch]:
        for step in range(start_step, steps):
            time.sleep(self.delay)
            slots = range(self.batch)[rank::world]
            chosen = [seed_of(self.seed, "picture", step, slot) % self.pictures for slot in slots]
            yield Batch(torch.stack([toy_latent(index) for index in chosen]), [""] * len(slots), list(slots))

    def held_out(self) -> Sequence[Batch]:
        return [Batch(toy_latent(100 + index)[None], [""], [index]) for index in range(self.held)]


def toy_latent(index: int) -> Tensor:
    """[4, 8, 8]: a wave whose phase is the picture's."""
    place = torch.linspace(0.0, 3.0, 8)
    return torch.stack([torch.sin(place[:, None] * (c + 1) + place[None] + index) for c in range(4)])


def measure(base: Base) -> dict[str, Tensor]:
    """The mean of each cross-attention over a little noise."""
    with torch.no_grad(), record_text_attention(base.unet) as means:
        base.unet(
            normal((4, 4, 8, 8), "measure"), torch.tensor([1, 300, 600, 900]), base.null.repeated(4).hidden_states
        )
    return means.constants()


def shard(accelerator: Accelerator) -> None:
    """Make accelerate shard the network (FSDP) on CPUs, where it would not: as it does on GPUs, with torch's own."""

    def prepare(network: Any, optimizer: Any) -> tuple[Any, Any]:
        named = {value: name for name, value in network.named_parameters()}
        names = [named[value] for value in optimizer.param_groups[0]["params"]]
        mesh = init_device_mesh("cpu", (accelerator.num_processes,))
        for part in [m for m in network.modules() if isinstance(m, BasicTransformerBlock)]:
            fully_shard(part, mesh=mesh)
        fully_shard(network, mesh=mesh)
        sharded = dict(network.named_parameters())
        optimizer.param_groups[0]["params"] = [sharded[name] for name in names]
        return network, optimizer

    accelerator.prepare = prepare  # type: ignore[method-assign]


def open_toy(config: RunConfig, delay: float = 0.0, sharded: bool = False) -> Trainer:
    """A trainer for a toy run, resumed where the folder has a checkpoint."""
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    AcceleratorState._reset_state()  # one process, several runs: accelerate remembers the first one's precision
    accelerator = open_machine(config.loop)
    if sharded:
        shard(accelerator)
    base = toy_base()
    batch = global_batch(config.loop, accelerator)
    feed = ToyFeed(batch, config.loop.seed, held=config.loop.held_out, delay=delay)
    if accelerator.is_main_process:
        open_record(folder, config, result_settings(config, base, feed.digest, batch), {"world": 1})
        if config.model.kind != "text":
            kept_constants(folder, lambda: measure(toy_base()))
    accelerator.wait_for_everyone()
    constants = {} if config.model.kind == "text" else read_constants(folder)
    network = kind_of(config.model.kind).network(base, constants, config)
    trainer = open_trainer(config, accelerator, base, feed, network, constants)
    trainer.resume()
    return trainer


def run_toy(folder: Path, **sections: Any) -> Trainer:
    """Train in this process."""
    trainer = open_toy(run_config(settings(folder, **sections)))
    trainer.run()
    return trainer


def final_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the newest whole checkpoint, by file and name."""
    path = latest_checkpoint(folder / CHECKPOINTS)
    assert path is not None, f"no whole checkpoint in {folder}"
    found = {
        f"{f.stem}: {key}": value for f in sorted(path.glob("*.safetensors")) for key, value in load_file(f).items()
    }
    return {"step": torch.tensor(int(path.name.split("-")[1])), **found}


def losses(folder: Path) -> dict[int, float]:
    """The loss of each step."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}
