"""What happens between steps: looking, stopping, locks, leftovers, and numbers that are none."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from train_rigs.bases import tiny_base
from train_rigs.commands import make_given, train
from train_rigs.runs import final_tensors, open_toy, run_toy, settings, toy_base, toy_latent

from gcfg_core.input_error import InputError
from training.base import codec
from training.base.model import Condition
from training.base.read import read_base
from training.full_float32 import full_float32
from training.run.checkpoint import CHECKPOINTS, OLD, SEEN, checkpoints, fault_of, recover
from training.run.leftovers import remove_leftovers
from training.run.lock import RunLock
from training.run.metrics import Metrics
from training.run.moments import Moments
from training.run.network import Network
from training.run.record import add_facts
from training.run.result import file_settings
from training.run.settings import run_config
from training.run.start import CONSTANTS, read_constants
from training.run.status import status_of
from training.run.step import Batch
from training.run.trainer import Trainer
from training.run.validation import held_out_loss

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
    look = Trainer._look

    def killed(self: Trainer, metrics: Metrics) -> None:
        if self.step == 4 and moment == "before":
            raise Killed
        look(self, metrics)
        if self.step == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_look", killed)
        with pytest.raises(Killed):
            run_toy(tmp_path, **WATCH)
    assert int(final_tensors(tmp_path)["step"]) == 4
    run_toy(tmp_path, **WATCH)
    assert seen(tmp_path) == [2, 4, 6]


def test_a_stopped_run_looks_when_it_goes_on(tmp_path: Path) -> None:
    trainer = open_toy(run_config(settings(tmp_path, **WATCH)))
    feed = trainer.feed.batches

    def stopping(first: int, *place: int) -> Any:
        for step, batch in enumerate(feed(first, *place), first):
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    trainer.feed.batches = stopping  # type: ignore[method-assign]
    assert not trainer.run() and trainer.step == 4 and seen(tmp_path) == [2]
    run_toy(tmp_path, **WATCH)
    assert seen(tmp_path) == [2, 4, 6]


def test_a_signal_in_the_last_step_loses_no_validation(tmp_path: Path) -> None:
    trainer = open_toy(run_config(settings(tmp_path, **WATCH)))
    feed = trainer.feed.batches

    def stopping(first: int, *place: int) -> Any:
        for step, batch in enumerate(feed(first, *place), first):
            if step == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    trainer.feed.batches = stopping  # type: ignore[method-assign]
    assert trainer.run() and trainer.step == 6 and seen(tmp_path) == [2, 4, 6]


def test_a_run_that_was_not_looked_at_is_not_finished(tmp_path: Path) -> None:
    trainer = run_toy(tmp_path, **WATCH)
    (tmp_path / "cats.safetensors").touch()
    add_facts(tmp_path, result={"file": "cats.safetensors", "steps": 6, "settings": file_settings(trainer.config)})
    assert status_of(trainer.config).is_finished
    (tmp_path / CHECKPOINTS / "step-00000006" / SEEN).unlink()
    status = status_of(trainer.config)
    assert not status.is_finished and "the last validation or sample is still" in status.text()
    assert open_toy(trainer.config).unseen


@pytest.mark.parametrize("name", ["grad_norm", "loss"])
def test_weights_that_are_no_numbers_are_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run_toy(tmp_path, loop={"steps": 2})
    add = Moments.add

    def poisoned(self: Moments, step: int, rate: float, loss: Tensor, norm: Tensor) -> None:
        infinite = torch.tensor(float("inf"))
        add(self, step, rate, infinite if name == "loss" else loss, infinite if name == "grad_norm" else norm)

    monkeypatch.setattr(Moments, "add", poisoned)
    with pytest.raises(InputError, match="of step 3: expected a finite number, got inf") as told:
        run_toy(tmp_path, record={"save_every": 1, "log_every": 100})
    assert "\n" not in str(told.value) and int(final_tensors(tmp_path)["step"]) == 2


def test_a_step_that_was_skipped_has_no_norm(tmp_path: Path) -> None:
    moments = Moments()
    moments.add(1, 1e-3, torch.tensor(0.5), torch.tensor(float("inf")))
    accelerator: Any = type("Scaled", (), {"scaler": object(), "reduce": lambda self, value, how: value})()
    rows = moments.take(accelerator)
    with Metrics(tmp_path, 0, 1, 1, main=True) as metrics:
        metrics.steps(rows)
        metrics.numbers(1, {"validation/weights": float("nan")})
    first, second = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(first, parse_constant=pytest.fail)["grad_norm"] is None
    assert json.loads(second, parse_constant=pytest.fail)["validation/weights"] is None


def test_the_bar_shows_loss_speed_and_time_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Metrics(tmp_path, 0, 100, 8, main=True) as metrics:
        metrics._bar.mininterval = 0.0
        for step in (10, 20):
            metrics._bar.start_t -= 5.0
            metrics.steps([{"step": step, "loss": 0.25, "grad_norm": 1.0, "lr": 1e-4}])
    told = capsys.readouterr().err
    assert re.search(r"training: +20%.*20/100 \[00:10<00:40, .*loss 0\.2500, \d+\.\d images/s", told), told


HOLDER = "import sys, time; from pathlib import Path; from training.run.lock import RunLock\n" \
         "lock = RunLock(); lock.take(Path(sys.argv[1])); print('taken', flush=True); time.sleep(60)"  # fmt: skip


def test_one_run_at_a_time_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, run = make_given(tmp_path / "given"), tmp_path / "run"
    run.mkdir()
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", HOLDER, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}) as other:
        assert other.stdout is not None and other.stdout.readline() == "taken\n"
        assert train(given, run, "--steps", "1") == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and "no other process trains in" in lines[0]
        other.kill()
    assert train(given, run, "--steps", "1") == 0  # a killed process holds nothing
    with RunLock() as lock:
        lock.take(run)
        assert lock.is_held


FORKER = "import os, sys, time; from pathlib import Path; from training.run.lock import RunLock\n" \
         "lock = RunLock(); lock.take(Path(sys.argv[1]))\n" \
         "if not os.fork(): print(os.getpid(), flush=True)\ntime.sleep(60)"  # fmt: skip


def test_a_worker_that_outlives_its_run_holds_no_folder(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", FORKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}) as other:
        assert other.stdout is not None
        child = int(other.stdout.readline())
        other.kill()
        other.wait()
        try:
            RunLock().take(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)


def test_nothing_is_tidied_up_where_nothing_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlockable(self: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("training.run.lock.FileLock.acquire", unlockable)
    given, run = make_given(tmp_path / "given"), tmp_path / "run"
    run.mkdir()
    mine = run / f"run.json.{'0' * 32}.partial"  # of another run there, maybe
    mine.touch()
    assert train(given, run, "--steps", "1") == 0 and mine.exists()


def test_leftovers_of_a_kill_go(tmp_path: Path) -> None:
    random = "0123456789abcdef" * 2
    names = [f"run.json.{random}.partial", f".run.safetensors.{random}.tmp", f".world.{random}.tmp", ".README.md.tmp",
             f".other.{random}.old", f".shared-{random}"]  # fmt: skip
    for name in [*names, "mine.partial", "notes.tmp"]:
        (tmp_path / name).mkdir() if "world" in name or "other" in name else (tmp_path / name).touch()
    (tmp_path / "other").mkdir()
    (tmp_path / f".lost.{random}.old").mkdir()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lost", "mine.partial", "notes.tmp", "other"]


def test_a_checkpoint_that_was_set_aside_comes_back(tmp_path: Path) -> None:
    run_toy(tmp_path, loop={"steps": 2})
    folder = tmp_path / CHECKPOINTS
    [path] = checkpoints(folder)
    for damaged in (False, True):
        aside = folder / f"{OLD}{path.name}-0123"  # killed between two renames
        path.rename(aside)
        if damaged:
            (aside / "weights.safetensors").unlink()
        found, _ = recover(folder)
        assert found == (None if damaged else path) and not aside.exists()


def test_a_torn_checkpoint_goes_once_the_run_has_passed_it(tmp_path: Path) -> None:
    run_toy(tmp_path, loop={"steps": 4})
    folder = tmp_path / CHECKPOINTS
    (folder / "step-00000004" / "state.json").unlink()
    recover(folder)
    assert len(list(folder.glob("torn-*"))) == 1
    recover(folder)
    assert len(list(folder.glob("torn-*"))) == 1  # nothing has come instead
    run_toy(tmp_path, loop={"steps": 4})
    found, _ = recover(folder)
    assert found is not None and fault_of(found) is None and not list(folder.glob("torn-*"))


class Text:
    """A text encoder that does not learn; knows where it was brought."""

    device = torch.device("cpu")

    def to(self, device: torch.device) -> "Text":
        self.device = device
        return self

    def encode(self, captions: list[str]) -> Condition:
        return Condition(torch.ones(len(captions), 5, 8) @ torch.ones(8, 8))


def test_a_frozen_text_encoder_comes_to_the_device() -> None:
    text = Text()
    Network(nn.Linear(1, 1), toy_base().null, text, null_text=False).frozen_text_to(torch.device("meta"))
    Network(nn.Linear(1, 1), toy_base().null).frozen_text_to(torch.device("meta"))  # none, no matter
    assert text.device.type == "meta"


def test_a_frozen_text_encoder_is_read_in_float32() -> None:
    found = {}

    class UNet(nn.Module):
        def forward(self, x: Tensor, t: Tensor, **told: Any) -> tuple[Tensor]:
            found.update(told)
            return (x,)

    network = Network(UNet(), toy_base().null, Text(), null_text=False)
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.zeros(2, 1, 1, 1), torch.zeros(2), ["a", "b"], None)
    assert found["encoder_hidden_states"].dtype == torch.float32


def test_pictures_are_encoded_in_full_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = read_base(str(tiny_base("sd15", tmp_path / "t").save_folder(tmp_path / "sd15")))
    torch.set_float32_matmul_precision("high")
    told: list[tuple[str, bool]] = []
    encode = base.codec.vae.encode  # type: ignore[attr-defined]

    def watched(pixels: Tensor) -> Any:
        told.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
        return encode(pixels)

    monkeypatch.setattr(base.codec.vae, "encode", watched)  # type: ignore[attr-defined]
    try:
        base.codec.encode(torch.zeros(1, 3, 32, 32))
        assert told == [("highest", False)]
        assert torch.get_float32_matmul_precision() == "high" and codec.full_float32 is full_float32
    finally:
        torch.set_float32_matmul_precision("highest")


def test_constants_are_read_without_being_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the constants of this run"):
        read_constants(tmp_path)
    assert not (tmp_path / CONSTANTS).exists()


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
