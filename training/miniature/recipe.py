"""How the starter models are trained: settings of the trainer, nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..settings.config import RunConfig
from ..settings.read import merged, run_config
from .settings import ABLATION, BASE, KEPT, PIXEL, SAME, TOON, TUNED

WORLD = Path(__file__).with_name("world.toml")
AUTHOR, LICENSE = "the GCFG pack", "CC BY 4.0; drawings: see ATTRIBUTION.md"


@dataclass(frozen=True)
class RunLengths:
    """How long each model is trained.

    Args:
        base, pixel: optimization steps.
        toon: steps after which the first concept and its fine-tuned counterparts are kept; the runs go on in between.
        ablation: optimization steps of each model that differs from the first concept in one thing.
        few: pictures that the first concept is learned from instead of all.
        batch: pictures of a step.
        warmup: steps in which the learning rate rises.
    """

    base: int = 5000
    toon: tuple[int, ...] = (125, 250, 500, 1000, 2000, 4000)
    pixel: int = KEPT[PIXEL]
    ablation: int = ABLATION
    few: tuple[int, ...] = (50, 200)
    batch: int = 32
    warmup: int = 200


TINY = RunLengths(base=60, toon=(2, 4), pixel=2, ablation=2, few=(20,), batch=4, warmup=2)


def recipes(
    data: Path, output: Path, world: Path, lengths: RunLengths = RunLengths()
) -> Iterator[tuple[str, RunConfig]]:
    """Each model's name and run, in the order in which they depend on each other.

    A name such as "toon@250" is a model after so many steps; the run of the next one goes on from there.

    Args:
        data: folder that `data.make` drew into.
        output: folder of the runs.
        world: where the base is once it is trained.
    """
    yield BASE, _run(output / BASE, lengths.base, lengths, {
        "base": str(WORLD),
        "data": {"images": str(data / "open" / "train"), "captions": "metadata"},
        "model": {"kind": "text", "train_text": True},
        "optimizer": {"lr": 7e-4},
        "loop": {"held_out": 64},
        "record": {"title": "Miniature world"},
    })  # fmt: skip
    for steps in lengths.toon:
        yield f"{TOON}@{steps}", _run(output / TOON, steps, lengths, _concept(world, data / TOON))
        yield f"{TUNED}@{steps}", _run(output / TUNED, steps, lengths, _tuned(world, data / TOON))
        yield f"{SAME}@{steps}", _run(output / SAME, steps, lengths, _tuned(world, data / TOON, "none"))
    yield f"{PIXEL}@{lengths.pixel}", _run(output / PIXEL, lengths.pixel, lengths, _concept(world, data / PIXEL))
    for name, own in _ablations(data, world, lengths.few):
        yield f"{name}@{lengths.ablation}", _run(output / name, lengths.ablation, lengths, own)


def _run(folder: Path, steps: int, lengths: RunLengths, own: dict[str, Any]) -> RunConfig:
    common = {
        "output": str(folder),
        "data": {"resolution": 32, "fit": "crop", "bucket_step": 32, "flip": 0.0, "workers": 0},
        "optimizer": {"lr": 3e-4, "warmup_steps": lengths.warmup},
        "loop": {"steps": steps, "batch_size": lengths.batch, "device": "cpu"},
        "record": {"save_every": 500, "log_every": 20, "author": AUTHOR, "license": LICENSE},
    }
    return run_config(merged(common, own))


def _ablations(data: Path, world: Path, few: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first concept with one thing changed: fewer pictures, or constants of one picture."""
    for count in few:
        yield f"{TOON}_of_{count}", _concept(world, first_pictures(data, count))
    yield f"{TOON}_constants_of_1", _concept(world, data / TOON, calibration=1)


def first_pictures(data: Path, count: int) -> Path:
    """Where the first pictures of the first concept are, by themselves."""
    return data / f"{TOON}_of_{count}"


def _concept(world: Path, pictures: Path, calibration: int = 256) -> dict[str, Any]:
    """A null-text concept model, from pictures alone."""
    return {
        "base": str(world),
        "data": {"images": str(pictures / "train")},
        "model": {"kind": "null-text", "calibration_images": calibration},
    }


def _tuned(world: Path, pictures: Path, captions: str = "metadata") -> dict[str, Any]:
    """Its counterparts: the base fine-tuned on the same pictures, with their captions or an empty one for all."""
    return {
        "base": str(world),
        "data": {"images": str(pictures / "train"), "captions": captions},
        "model": {"kind": "text"},
    }
