"""Small training runs in processes of their own: that can be killed, or that share the work.

As a program: `python -m train_rigs.processes SPEC.json`, where the file holds the settings and what shall go wrong.
"""

import faulthandler
import json
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from training.loop.step import Batch
from training.processes.machine import close_machine
from training.settings.read import run_config
from training.state import checkpoint

from .runs import open_toy

ROOT = Path(__file__).parents[3]
PATIENCE = 150  # seconds


def torchrun(folder: Path, given: dict[str, Any]) -> tuple[int, str]:
    """Train in two processes under torchrun; its exit code and all output."""
    two = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    words = [sys.executable, *two, "-m", "train_rigs.processes", _write_spec(folder, given, {})]
    environment = {**os.environ, "PYTHONPATH": _python_path(), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    return process.returncode, output


def start(folder: Path, given: dict[str, Any], **spec: Any) -> Any:
    """Train in a process of its own; what it prints goes into `output.txt`."""
    path = _write_spec(folder, given, spec)
    return start_logged(folder / "output.txt", main, path)


def start_logged(log: Path, work: Callable[..., None], *arguments: Any) -> Any:
    """Do this in a process forked from one that has imported everything; what it prints goes into a file."""
    os.environ["PYTHONPATH"] = _python_path()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train_rigs.processes", "train_rigs.commands", "training.commands.train"])
    process = context.Process(target=_logged, args=(str(log), work, *arguments))
    process.start()
    return process


def pair(folder: Path, given: dict[str, Any], **spec: Any) -> tuple[int, str]:
    """Train in two processes that find each other as torchrun's do, forked as in `start`; exit code and all output."""
    path = _write_spec(folder, given, spec)
    code, outputs = in_pair(main, folder, path)
    return code, "".join(outputs)


def in_pair(work: Callable[..., None], folder: Path, *arguments: Any) -> tuple[int, list[str]]:
    """Do this in both of two processes that find each other as torchrun's do; exit code, and the output of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logs = [folder / f"output-{rank}.txt" for rank in range(2)]
    processes = [start_logged(log, _member, rank, port, work, *arguments) for rank, log in enumerate(logs)]
    return max(abs(end(process)) for process in processes), [log.read_text() for log in logs]


def end(process: Any) -> int:
    """Wait for a started process, kill it if it takes too long, and return its exit code."""
    process.join(PATIENCE)
    process.kill()
    process.join()
    return process.exitcode


def _write_spec(folder: Path, given: dict[str, Any], spec: dict[str, Any]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(json.dumps({"settings": given, **spec}))
    return str(path)


def _python_path() -> str:
    return os.pathsep.join([str(ROOT), str(ROOT / "tests" / "training")])


def _member(rank: int, port: int, work: Callable[..., None], *arguments: Any) -> None:
    """One of two processes, told of the other in torchrun's words."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    work(*arguments)


def _logged(log: str, work: Callable[..., None], *arguments: Any) -> None:
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    work(*arguments)


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
