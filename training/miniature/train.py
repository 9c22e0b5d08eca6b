"""Train the starter models with the trainer, one after another, and collect their files."""

import shutil
from pathlib import Path

from ..run.result import WORLD
from ..run.session import train
from .recipe import Amounts, recipes
from .settings import BASE

UNET = "unet.safetensors"


def train_all(data: Path, runs: Path, weights: Path, amounts: Amounts) -> None:
    """Train every model that is not in ``weights`` yet; an interrupted run goes on where it was.

    Args:
        data: folder that `data.make` drew into.
        runs: folder of the runs.
        weights: gets world/ and concepts/NAME.safetensors.

    Raises:
        InputError, ConceptFileError, OSError: what `training.run.session.train` raises.
    """
    (weights / "concepts").mkdir(parents=True, exist_ok=True)
    for name, config in recipes(data, runs, weights / "world", amounts):
        target = weights / "world" if name == BASE else weights / "concepts" / f"{name}.safetensors"
        if target.exists():
            continue
        print(f"== {name}", flush=True)
        print(train(config), flush=True)
        _collect(Path(config.output), target)


def _collect(run: Path, target: Path) -> None:
    """Copy a run's result: a world whole, of a fine-tuned one its UNet, of a concept its file."""
    if target.name == "world":
        shutil.copytree(run / WORLD, target)
    elif (run / WORLD).is_dir():
        shutil.copyfile(run / WORLD / UNET, target)
    else:
        shutil.copyfile(next(run.glob("*.safetensors")), target)
