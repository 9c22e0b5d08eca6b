"""A run that was interrupted ends with the same bits as one that was not."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from train_rigs.processes import end, start
from train_rigs.runs import final_tensors, losses, open_toy, run_toy, settings

from gcfg_core.errors import InputError
from training.loop.metrics import rewind
from training.loop.trainer import CHECKPOINTS
from training.settings.read import run_config


def same(one: Path, other: Path) -> None:
    """Both folders' last checkpoints hold the same bits, and the same losses led to them."""
    a, b = final_tensors(one), final_tensors(other)
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
    assert losses(one) == losses(other)


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "constant average": {"ema": {"ema": "constant"}},
    "no average": {"ema": {"ema": "none"}},
    "cosine": {"optimizer": {"lr_schedule": "cosine", "warmup_steps": 2}, "loss": {"noise_offset": 0.1}},
    "lora": {"model": {"kind": "null-text-lora", "lora_rank": 2}},
    "text": {"model": {"kind": "text"}},
    "trained constant": {"model": {"train_constant": True}, "loop": {"accumulation": 2}},
    "bf16": {"loop": {"precision": "bf16"}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_in_two_halves_is_a_run_in_one(tmp_path: Path, variant: str) -> None:
    given = VARIANTS[variant]
    run_toy(tmp_path / "whole", **given)
    trainer = open_toy(run_config(settings(tmp_path / "halves", **given)))
    feed = trainer.feed.batches
    trainer.feed.batches = lambda first, steps, rank, world: feed(first, 3, rank, world)  # type: ignore[method-assign]
    assert not trainer.run()
    assert trainer.step == 3
    resumed = run_toy(tmp_path / "halves", **given)
    assert resumed.step == 6
    same(tmp_path / "whole", tmp_path / "halves")


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    run_toy(tmp_path)
    before = final_tensors(tmp_path)
    run_toy(tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in final_tensors(tmp_path).items())


def test_a_run_can_be_made_longer(tmp_path: Path) -> None:
    run_toy(tmp_path / "short", loop={"steps": 4})
    run_toy(tmp_path / "short", loop={"steps": 6})
    run_toy(tmp_path / "long", loop={"steps": 6})
    same(tmp_path / "long", tmp_path / "short")


def test_a_torn_checkpoint_costs_steps_but_no_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_toy(tmp_path / "whole")
    run_toy(tmp_path / "torn", loop={"steps": 4})
    weights = tmp_path / "torn" / CHECKPOINTS / "step-00000004" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    run_toy(tmp_path / "torn")
    assert "step-00000004 is torn" in capsys.readouterr().out
    same(tmp_path / "whole", tmp_path / "torn")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"optimizer": {"lr": 2e-3}}, "optimizer.lr"),
        ({"loop": {"seed": 1}}, "loop.seed"),
        ({"loop": {"batch_size": 3}}, "global_batch"),
        ({"loss": {"min_snr_gamma": 5.0}}, "loss.min_snr_gamma"),
        ({"ema": {"sigma_rels": [0.1]}}, "ema.sigma_rels"),
        ({"model": {"kind": "text"}}, "model.kind"),
        ({"data": {"flip": 0.0}}, "data.flip"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    run_toy(tmp_path, loop={"steps": 1})
    with pytest.raises(InputError, match=f"^{key}: ") as caught:
        run_toy(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_other_steps_are_refused_where_the_rate_depends_on_them(tmp_path: Path) -> None:
    run_toy(tmp_path, loop={"steps": 1}, optimizer={"lr_schedule": "cosine"})
    with pytest.raises(InputError, match="^loop.steps: "):
        run_toy(tmp_path, loop={"steps": 2}, optimizer={"lr_schedule": "cosine"})


def test_settings_that_change_no_result_may_differ(tmp_path: Path) -> None:
    run_toy(tmp_path, loop={"steps": 2})
    changes = {"record": {"save_every": 1, "keep_last": 5, "log_every": 3}, "data": {"workers": 3, "images": "moved"}}
    assert run_toy(tmp_path, loop={"batch_size": 1, "accumulation": 2}, **changes).step == 6


def test_metrics_go_back_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"step": step, "loss": 1.0}) for step in range(1, 6)]
    path.write_text("\n".join([*rows, '{"step": 6, "lo']))
    rewind(path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


LONG: dict[str, Any] = {"loop": {"steps": 40}, "record": {"save_every": 1000}}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that can be stopped on its way, without an interruption."""
    folder = tmp_path_factory.mktemp("long")
    run_toy(folder, **LONG)
    return folder


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_cleanly(tmp_path: Path, long: Path, name: signal.Signals) -> None:
    given = settings(tmp_path / "stopped", **LONG)
    process = start(tmp_path / "stopped", given, delay=0.05)
    try:
        while not (tmp_path / "stopped" / "metrics.jsonl").exists() and process.is_alive():
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(process.pid, name)
    finally:
        code = end(process)
    output = (tmp_path / "stopped" / "output.txt").read_text()
    assert code == 0 and "stopping after this step" in output, output
    assert f"stopped by {name.value} at" in output
    assert 0 < int(final_tensors(tmp_path / "stopped")["step"]) < LONG["loop"]["steps"]
    run_toy(tmp_path / "stopped", **LONG)
    same(long, tmp_path / "stopped")


def test_a_full_disk_ends_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_toy(folder, loop={"steps": 2})
    process = start(folder, settings(folder), file_limit=100_000)  # weights are larger
    process.join(100)
    assert process.exitcode == 1  # an InputError here, exit code 2 on the command line
    assert [path.name for path in (folder / CHECKPOINTS).iterdir()] == ["step-00000002"]
    run_toy(folder)
    run_toy(tmp_path / "whole")
    same(tmp_path / "whole", folder)


@pytest.mark.parametrize("kill_at", [0, 1, 4, 6, 9, 13, 15, 16, 17, 18, 19, 20])
def test_killed_at_any_moment_of_a_save(tmp_path: Path, kill_at: int, whole: Path) -> None:
    folder = tmp_path / "killed"
    run_toy(folder, loop={"steps": 2})
    process = start(folder, settings(folder), kill_at=kill_at)
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    assert final_tensors(folder)["step"].item() in (2, 4)
    run_toy(folder)
    same(whole, folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy run without an interruption."""
    folder = tmp_path_factory.mktemp("whole")
    run_toy(folder)
    return folder


KILLS = 20


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"loop": {"steps": 40}, "record": {"save_every": 1, "log_every": 1}}
    run_toy(tmp_path / "whole", **changes)
    dice, kills, runs, in_save = random.Random(0), 0, 0, 0
    while kills < KILLS:
        folder = tmp_path / f"run-{runs}"
        while not (folder / CHECKPOINTS / "step-00000040").exists():
            process = start(folder, settings(folder, **changes))
            process.join(dice.uniform(0.5, 2.0) if kills < KILLS else 200)
            if process.exitcode is None:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                kills += 1
                in_save += any((folder / CHECKPOINTS).glob(".partial-*"))
        run_toy(folder, **changes)  # clears what the last kill left
        same(tmp_path / "whole", folder)
        runs += 1
    print(f"{kills} kills, {in_save} of them during a save, {runs} runs")
