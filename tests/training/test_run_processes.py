"""Two processes that share a batch train as one process with the whole of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from train_rigs.processes import pair, torchrun
from train_rigs.runs import final_tensors, losses, run_toy, settings

from training.loop.trainer import CHECKPOINTS
from training.state.checkpoint import latest_checkpoint, read_checkpoint
from training.state.record import read_record

LIMIT = 1e-5


def changes(**loop: Any) -> dict[str, Any]:
    """Settings whose results can be compared: Adam divides each gradient by its own size, so a weight whose gradient is
    nothing but rounding would move by a whole step in a random direction; eps is above that rounding."""
    optimizer, loss = {"lr": 1e-4, "eps": 1e-6}, {"noise_offset": 0.1, "min_snr_gamma": 5.0}
    return {"loop": {"steps": 8, **loop}, "optimizer": optimizer, "loss": loss}


def far(one: Path, other: Path, part: str) -> float:
    """The largest difference between tensors of a part of the last checkpoints."""
    a, b = final_tensors(one), final_tensors(other)
    assert a.keys() == b.keys()
    return max((a[key].float() - b[key].float()).abs().max().item() for key in a if key.startswith(part))


def world_of(folder: Path) -> int:
    """How many processes wrote the last checkpoint."""
    path = latest_checkpoint(folder / CHECKPOINTS)
    assert path is not None
    return read_checkpoint(path).state["world"]


def validations(folder: Path) -> list[dict[str, float]]:
    """Held-out losses, of the weights and their averages."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "validation/weights" in row]


def close(one: Path, other: Path) -> None:
    """Losses, weights and averages agree."""
    a, b = losses(one), losses(other)
    assert a.keys() == b.keys()
    assert max(abs(a[step] - b[step]) for step in a) < LIMIT
    assert far(one, other, "weights") < LIMIT and far(one, other, "ema") < LIMIT


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process with batches of 4."""
    folder = tmp_path_factory.mktemp("one")
    run_toy(folder, **changes(batch_size=4))
    return folder


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path, one: Path) -> None:
    given = settings(tmp_path, **changes(batch_size=2))
    code, output = torchrun(tmp_path, given)
    assert code == 0, output
    assert world_of(tmp_path) == 2  # a launcher that starts one process would pass all else
    assert output.count("threads of gloo left: 0") == 2  # one that works while the interpreter ends would abort it
    close(one, tmp_path)


def test_two_processes_are_one_under_the_default_optimizer(tmp_path: Path) -> None:
    given = {**changes(), "optimizer": {"lr": 1e-5}}
    run_toy(tmp_path / "one", **{**given, "loop": {"steps": 8, "batch_size": 4}})
    two = settings(tmp_path / "two", **{**given, "loop": {"steps": 8, "batch_size": 2}})
    code, output = pair(tmp_path / "two", two)
    assert code == 0, output
    close(tmp_path / "one", tmp_path / "two")


def test_two_processes_accumulate_uneven_microbatches(tmp_path: Path) -> None:
    run_toy(tmp_path / "one", **changes(batch_size=6))
    given = settings(tmp_path / "two", **changes(batch_size=1, accumulation=3))
    code, output = pair(tmp_path / "two", given)
    assert code == 0, output
    close(tmp_path / "one", tmp_path / "two")


def test_one_process_goes_on_where_two_stopped(tmp_path: Path, one: Path) -> None:
    given = settings(tmp_path, **changes(batch_size=2, steps=4))
    code, output = pair(tmp_path, given)
    assert code == 0, output
    assert run_toy(tmp_path, **changes(batch_size=4)).step == 8
    close(one, tmp_path)


@pytest.mark.parametrize("kind", ["null-text", "null-text-lora"])
def test_sharded_weights_train_and_resume_as_whole_ones(tmp_path: Path, kind: str) -> None:
    watch = {"model": {"kind": kind}, "record": {"validate_every": 2, "save_every": 2}}
    run_toy(tmp_path / "one", **{**changes(batch_size=4, held_out=3), **watch})
    for steps in (4, 8):
        given = settings(tmp_path / "two", **{**changes(batch_size=2, held_out=3, steps=steps), **watch})
        code, output = pair(tmp_path / "two", given, sharded=True)
        assert code == 0, output
        assert world_of(tmp_path / "two") == 2
    close(tmp_path / "one", tmp_path / "two")
    for a, b in zip(validations(tmp_path / "one"), validations(tmp_path / "two"), strict=True):
        assert a == pytest.approx(b, abs=LIMIT)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(2, 2), (3, 2), (1, 4)])
def test_accumulated_batches_are_one_batch(tmp_path: Path, batch_size: int, accumulation: int) -> None:
    whole = batch_size * accumulation
    run_toy(tmp_path / "whole", **changes(batch_size=whole))
    run_toy(tmp_path / "parts", **changes(batch_size=batch_size, accumulation=accumulation))
    close(tmp_path / "whole", tmp_path / "parts")


def test_all_processes_end_when_one_cannot_go_on(tmp_path: Path) -> None:
    run_toy(tmp_path, loop={"steps": 1, "batch_size": 4})
    given = settings(tmp_path, loop={"batch_size": 2}, optimizer={"lr": 1.0})
    code, output = pair(tmp_path, given)
    assert code != 0 and "optimizer.lr: expected 0.001" in output
    assert read_record(tmp_path)["config"]["optimizer"]["lr"] == 1e-3


def test_all_processes_stop_when_one_is_asked_to(tmp_path: Path) -> None:
    code, output = pair(tmp_path, settings(tmp_path, loop={"steps": 40}), stop_at=3)
    assert code == 0 and output.count("stopped by 15 at 4") == 2, output
    assert world_of(tmp_path) == 2


def test_losses_do_not_depend_on_the_logs(tmp_path: Path) -> None:
    run_toy(tmp_path / "often", record={"log_every": 1})
    run_toy(tmp_path / "seldom", record={"log_every": 100})
    assert losses(tmp_path / "often") == losses(tmp_path / "seldom")
    a, b = final_tensors(tmp_path / "often"), final_tensors(tmp_path / "seldom")
    assert all(torch.equal(a[key], b[key]) for key in a)
