"""Worker processes and signals: one for the whole group stops the run between two steps, and no worker outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from train_rigs.commands import make_given, words
from train_rigs.processes import ROOT

from training.state.checkpoint import checkpoints, fault_of

READER = """
import sys
from pathlib import Path
from test_data_dataset import World

if __name__ == "__main__":
    world = World(Path(sys.argv[1]))
    from training.data.dataset import batches
    kept = batches(world.order, world.cache, world.scan, 0, 100, workers=2)
    print(next(kept).step, flush=True)
    if sys.argv[2] == "error":
        raise SystemExit("stopped")
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_given(tmp_path_factory.mktemp("given"))


def group(command: list[str], cwd: Path) -> subprocess.Popen[str]:
    """A program in a process group of its own, as a shell or a scheduler starts it."""
    folders = [str(ROOT), str(ROOT / "tests" / "training")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, cwd=cwd, text=True, stdout=pipe, stderr=pipe, start_new_session=True
    )


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_saves(given: Path, tmp_path: Path, name: signal.Signals) -> None:
    run = tmp_path / "run"
    arguments = words(given, run, "--workers", "2", "--steps", "100000", "--save-every", "100000")
    process = group([sys.executable, "-m", "training", *arguments], tmp_path)
    metrics = run / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.1)
    os.killpg(process.pid, name)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + name, err
    assert "Traceback" not in err and err.count("stopping after this step") == 1
    [saved] = checkpoints(run / "checkpoints")
    assert fault_of(saved) is None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no worker is left


@pytest.mark.parametrize("end", ["well", "error"])
def test_a_program_that_still_holds_its_batches_ends(tmp_path: Path, end: str) -> None:
    (tmp_path / "reader.py").write_text(READER)
    process = group([sys.executable, "reader.py", str(tmp_path), end], tmp_path)
    out, err = process.communicate(timeout=60)
    assert out == "0\n" and process.returncode == (end == "error"), err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
