"""The trainer's settings for each starter model."""

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
    """The length of each model's training.

    Args:
        base, pixel: optimization steps.
        toon: steps at which the first concept and its fine-tuned counterparts are kept, during the same runs.
        ablation: optimization steps of each ablation, which differs from the first concept in one setting.
        few: numbers of training pictures for the ablations with fewer pictures.
        batch: pictures per step.
        warmup: steps of learning-rate warm-up.
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
    """Yield each model's name and run, ordered by dependency.

    A name "toon@250" is a model after 250 steps; the run of the next model continues from there.

    Args:
        data: folder written by `data.make`.
        output: folder of the runs.
        world: folder of the trained base.
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
    """Yield the first concept with one change: fewer pictures, or constants of one picture."""
    for count in few:
        yield f"{TOON}_of_{count}", _concept(world, first_pictures(data, count))
    yield f"{TOON}_constants_of_1", _concept(world, data / TOON, calibration=1)


def first_pictures(data: Path, count: int) -> Path:
    """Return the folder of the first pictures of the first concept."""
    return data / f"{TOON}_of_{count}"


def _concept(world: Path, pictures: Path, calibration: int = 256) -> dict[str, Any]:
    """Return the settings of a null-text concept model, trained on pictures alone."""
    return {
        "base": str(world),
        "data": {"images": str(pictures / "train")},
        "model": {"kind": "null-text", "calibration_images": calibration},
    }


def _tuned(world: Path, pictures: Path, captions: str = "metadata") -> dict[str, Any]:
    """Return the settings of its counterparts: the base fine-tuned on the same pictures with their captions, or with
    empty captions."""
    return {
        "base": str(world),
        "data": {"images": str(pictures / "train"), "captions": captions},
        "model": {"kind": "text"},
    }
