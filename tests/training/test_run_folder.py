"""A run's folder: one run at a time in it, and what kills left there goes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from train_rigs.commands import make_given, train
from train_rigs.runs import run_toy

from training.state.checkpoint import CHECKPOINTS, OLD, checkpoints, fault_of, recover
from training.state.lock import RunLock, remove_leftovers

HOLDER = "import sys, time; from pathlib import Path; from training.state.lock import RunLock\n" \
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


FORKER = "import os, sys, time; from pathlib import Path; from training.state.lock import RunLock\n" \
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

    monkeypatch.setattr("training.state.lock.FileLock.acquire", unlockable)
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
