"""Looking at held-out pictures between steps: none is lost to a kill or a signal, and passes are shared."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from train_rigs.runs import final_tensors, open_toy, run_toy, settings, toy_base, toy_latent

from training.launch.result import file_settings
from training.launch.status import status_of
from training.loop.metrics import Metrics
from training.loop.step import Batch
from training.loop.trainer import Trainer
from training.loop.validation import held_out_loss
from training.settings.read import run_config
from training.state.checkpoint import CHECKPOINTS, REVIEWED
from training.state.record import add_facts

WATCH: dict[str, Any] = {"record": {"validate_every": 2, "save_every": 2}, "loop": {"held_out": 3}}


def seen(folder: Path) -> list[int]:
    """Steps of the validations, and no step twice."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows if "validation/weights" in row]


class Killed(BaseException):
    """Stands for kill -9: nothing runs after it."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_while_it_looks_loses_no_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    look = Trainer._review

    def killed(self: Trainer, metrics: Metrics) -> None:
        if self.step == 4 and moment == "before":
            raise Killed
        look(self, metrics)
        if self.step == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_review", killed)
        with pytest.raises(Killed):
            run_toy(tmp_path, **WATCH)
    assert int(final_tensors(tmp_path)["step"]) == 4
    run_toy(tmp_path, **WATCH)
    assert seen(tmp_path) == [2, 4, 6]


def stopped_in(folder: Path, last: int) -> Trainer:
    """A trainer that SIGTERM reaches in the step with this index."""
    trainer = open_toy(run_config(settings(folder, **WATCH)))
    feed = trainer.feed.batches

    def stopping(first: int, *place: int) -> Any:
        for step, batch in enumerate(feed(first, *place), first):
            if step == last:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    trainer.feed.batches = stopping  # type: ignore[method-assign]
    return trainer


def test_a_stopped_run_looks_when_it_goes_on(tmp_path: Path) -> None:
    trainer = stopped_in(tmp_path, last=3)
    assert not trainer.run() and trainer.step == 4 and seen(tmp_path) == [2]
    run_toy(tmp_path, **WATCH)
    assert seen(tmp_path) == [2, 4, 6]


def test_a_signal_in_the_last_step_loses_no_validation(tmp_path: Path) -> None:
    trainer = stopped_in(tmp_path, last=5)
    assert trainer.run() and trainer.step == 6 and seen(tmp_path) == [2, 4, 6]


def test_a_run_that_was_not_looked_at_is_not_finished(tmp_path: Path) -> None:
    trainer = run_toy(tmp_path, **WATCH)
    (tmp_path / "cats.safetensors").touch()
    add_facts(tmp_path, result={"file": "cats.safetensors", "steps": 6, "settings": file_settings(trainer.config)})
    assert status_of(trainer.config).is_finished
    (tmp_path / CHECKPOINTS / "step-00000006" / REVIEWED).unlink()
    status = status_of(trainer.config)
    assert not status.is_finished and "the last validation or sample is still" in status.text()
    assert open_toy(trainer.config).review_pending


class Counting(nn.Module):
    """Looks at each sample alone, and counts the passes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.passes = nn.Conv2d(4, 4, 3, padding=1), 0

    def forward(self, x: Tensor, t: Tensor, captions: list[str], ids: Tensor) -> Tensor:
        self.passes += 1
        lengths = torch.tensor([float(len(caption)) for caption in captions])
        return self.layer(x) + (t / 1000 + lengths + ids.sum(1))[:, None, None, None]


def test_held_out_pictures_share_passes_and_keep_their_loss() -> None:
    pictures = []
    for index in range(7):
        latent = toy_latent(index)[None] if index % 3 else toy_latent(index)[None, :, :6]
        pictures.append(Batch(latent, ["a" * index], [index], torch.full((1, 6), 0.1 * index)))
    network, accelerator, schedule = Counting(), Accelerator(cpu=True), toy_base().schedule
    alone = held_out_loss(accelerator, network, pictures, schedule, 0)
    assert network.passes == 7
    for together, passes in ((2, 4), (8, 2)):
        network.passes = 0
        assert held_out_loss(accelerator, network, pictures, schedule, 0, together) == pytest.approx(alone, rel=1e-6)
        assert network.passes == passes

    class Half:
        num_processes, device = 2, torch.device("cpu")

        def __init__(self, rank: int) -> None:
            self.process_index = rank

        def reduce(self, value: Tensor, how: str) -> Tensor:
            return value

    halves: list[Any] = [Half(0), Half(1)]
    parts = [held_out_loss(half, network, pictures, schedule, 0, 2) for half in halves]
    assert sum(parts) == pytest.approx(alone, rel=1e-6)
