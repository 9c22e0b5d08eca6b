"""Small training runs: a tiny base and made-up latents, in this process or in one of their own that can be killed.

As a program: `python -m train_rigs.runs SPEC.json`, where the file holds the settings and what shall go wrong.
"""

import faulthandler
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
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

from gcfg_core.null_text import record_text_attention
from training.base.model import Base, Condition
from training.base.world_codec import PixelCodec
from training.run import checkpoint
from training.run.build import null_text_network, text_network
from training.run.checkpoint import latest_checkpoint
from training.run.config import RunConfig
from training.run.machine import close_machine, global_batch, open_machine
from training.run.record import open_record, result_settings
from training.run.settings import merged, run_config
from training.run.start import kept_constants, read_constants
from training.run.step import Batch
from training.run.trainer import CHECKPOINTS, Trainer, open_trainer
from training.schedule import noise_schedule
from training.seeds import normal, seed_of

from .toy_unet import toy_config

ROOT = Path(__file__).parents[3]
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
    if config.model.kind == "text":
        network = text_network(base, reads_captions=False, train_text=False)
    else:
        network = null_text_network(base, constants, config.model, config.loop.seed)
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


def spawn(folder: Path, given: dict[str, Any], processes: int = 1, **spec: Any) -> subprocess.Popen[str]:
    """Train in a process of its own, or in several under torchrun."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(json.dumps({"settings": given, **spec}))
    torchrun = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_port=0", "--standalone"]
    command = [sys.executable, *(torchrun if processes > 1 else []), "-m", "train_rigs.runs", str(path)]
    folders = [str(ROOT), str(ROOT / "tests" / "training")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and output of a spawned run."""
    try:
        output, _ = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    return process.returncode, output


def _arm(spec: dict[str, Any]) -> None:
    """Make saving die at its n-th step (`kill_at`), or let no file grow beyond `file_limit` bytes."""
    if "file_limit" in spec:
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_limit"], spec["file_limit"]))
    if "kill_at" not in spec:
        return
    left = [spec["kill_at"]]

    def deadly(work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*args, **kwargs)

        return counted

    for name in ("save_file", "sha256_of", "flush_file", "flush_folder", "_move_in", "prune"):
        setattr(checkpoint, name, deadly(getattr(checkpoint, name)))
    checkpoint.os = types.SimpleNamespace(replace=deadly(os.replace))  # type: ignore[assignment]


def start(folder: Path, given: dict[str, Any], **spec: Any) -> Any:
    """Train in a process forked from one that has imported everything: quicker than `spawn`, where many are killed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(json.dumps({"settings": given, **spec}))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "training")])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train_rigs.runs"])
    process = context.Process(target=main, args=(str(path),))
    process.start()
    return process


def main(path: str) -> None:
    """Do what the file says; tell where it is when it takes too long."""
    faulthandler.dump_traceback_later(90)
    torch.set_num_threads(1)
    spec = json.loads(Path(path).read_text())
    _arm(spec)
    trainer = open_toy(run_config(spec["settings"]), spec.get("delay", 0.0), spec.get("sharded", False))
    if "stop_at" in spec and not trainer.accelerator.is_main_process:
        trainer.feed.batches = _stopping(trainer.feed.batches, spec["stop_at"])  # type: ignore[method-assign]
    told = "finished" if trainer.run() else f"stopped by {trainer.stopped_by} at"
    print(f"{told} {trainer.step}", flush=True)
    accelerator = trainer.accelerator
    del trainer
    close_machine(accelerator)
    print(f"threads of gloo left: {gloo_threads()}", flush=True)


def gloo_threads() -> int:
    """How many threads of this process are gloo's, by their names; 0 where a system does not tell."""
    return sum("gloo" in path.read_text() for path in Path("/proc/self/task").glob("*/comm"))


def _stopping(batches: Callable[..., Iterator[Batch]], at: int) -> Callable[..., Iterator[Batch]]:
    """Batches of a process that is asked to stop when it comes to a step."""

    def some(start_step: int, *place: int) -> Iterator[Batch]:
        for step, batch in enumerate(batches(start_step, *place), start_step):
            if step == at:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    return some


if __name__ == "__main__":
    main(sys.argv[1])
