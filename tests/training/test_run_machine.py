"""The machine: what a launcher may say, and one process that works for all."""

import types
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from gcfg_core.errors import InputError
from training.console.endings import Interrupted
from training.loop import stop
from training.loop.stop import ASK_EVERY, REPEAT, Stop
from training.processes import agreement
from training.processes.agreement import agree
from training.processes.machine import check_distribution, open_machine
from training.processes.shared_disk import check_shared
from training.settings.config import LoopConfig

CPU = LoopConfig(device="cpu")


class Several:
    """Stands for accelerate in one of two processes; what is gathered is this one's and ``other``'s."""

    num_processes, device = 2, torch.device("cpu")

    def __init__(self, first: bool = True, other: Any = None) -> None:
        self.is_main_process, self.other, self.asked = first, other, 0

    def gather(self, mine: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return torch.cat([mine, mine if self.other is None else torch.as_tensor(self.other)])


def test_a_launcher_decides_neither_accumulation_nor_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = open_machine(CPU)
    assert accelerator.gradient_accumulation_steps == 1
    assert accelerator.init_handler is not None and accelerator.init_handler.timeout >= timedelta(hours=2)


@pytest.mark.parametrize("name", ["ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM"])
def test_other_programs_are_refused_before_they_are_missed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "true")
    with pytest.raises(
        InputError, match="^several processes: expected one process, several on CPUs or GPUs, or FSDP 2"
    ):
        open_machine(CPU)


@pytest.mark.parametrize("kind", list(DistributedType))
@pytest.mark.parametrize("version", [1, 2])
def test_only_what_was_tried_is_allowed(kind: DistributedType, version: int) -> None:
    state = types.SimpleNamespace(fsdp_plugin=types.SimpleNamespace(fsdp_version=version))
    accelerator: Any = types.SimpleNamespace(distributed_type=kind, state=state)
    if kind.value in ("NO", "MULTI_CPU", "MULTI_GPU") or (kind.value, version) == ("FSDP", 2):
        check_distribution(accelerator)
        return
    with pytest.raises(InputError) as told:
        check_distribution(accelerator)
    assert "\n" not in str(told.value) and ("--fsdp_version 2" in str(told.value)) == (kind.value == "FSDP")


def wire(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the first process tells the others, who are asked after it."""
    told: list[Any] = []

    def broadcast(values: list[Any]) -> None:
        if told:
            values[:] = told
        told[:] = values

    monkeypatch.setattr(agreement, "broadcast_object_list", broadcast)
    return told


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), RuntimeError("two\nlines"), InputError("a", "b", "c", "d")]
)
def test_every_error_of_the_first_process_reaches_the_others(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    wire(monkeypatch)

    def work() -> None:
        raise error

    first: Any = Several()
    with pytest.raises(type(error)) as own:
        agree(first, work)
    assert own.value is error
    other: Any = Several(first=False)
    with pytest.raises(InputError) as told:
        agree(other, work)
    assert "\n" not in str(told.value) and str(error).split("\n")[0] in str(told.value)


@pytest.mark.parametrize("start", [0, 5000])
def test_processes_ask_each_other_by_the_clock(monkeypatch: pytest.MonkeyPatch, start: int) -> None:
    clock = [0.0]
    monkeypatch.setattr(stop.time, "monotonic", lambda: clock[0])
    accelerator: Any = Several(other=[[0.0, 0.0]])
    mine, asked = Stop(start), []
    for step in range(start + 1, start + 61):
        clock[0] += 1.0
        before = accelerator.asked
        assert mine.agreed(accelerator, step, due=False) == 0
        asked += [step] * (accelerator.asked - before)
    assert max(b - a for a, b in zip(asked, asked[1:], strict=False)) <= ASK_EVERY and 10 <= len(asked) <= 15
    accelerator.other = [[15.0, 0.0]]
    assert mine.agreed(accelerator, start + 61, due=True) == 15


def test_the_handler_itself_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(stop.time, "monotonic", lambda: clock[0])
    one: Any = types.SimpleNamespace(num_processes=1)
    mine = Stop()
    mine._remember(15, None)
    assert capsys.readouterr().err == ""
    assert mine.agreed(one, 1, due=False) == mine.agreed(one, 2, due=False) == 15
    assert capsys.readouterr().err.count("stopping after this step") == 1
    mine._remember(2, None)  # the same request, from a terminal and a launcher
    clock[0] += 2 * REPEAT
    with pytest.raises(Interrupted, match="stopped without saving") as told:
        mine._remember(15, None)
    assert told.value.code == 143


def test_a_disk_that_is_not_shared_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = wire(monkeypatch)
    first: Any = Several(other=[0])
    with pytest.raises(InputError, match="disk that all processes share, got process 1 without it"):
        check_shared(first, [tmp_path / "cache"])
    assert list((tmp_path / "cache").iterdir()) == []
    told.clear()
    both: Any = Several(other=[1])
    check_shared(both, [tmp_path / "cache"])
