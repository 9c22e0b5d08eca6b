"""What a run writes down of its steps: numbers that are none stop it or become null, and the bar tells the rest."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from train_rigs.runs import final_tensors, run_toy

from gcfg_core.errors import InputError
from training.loop.metrics import Metrics
from training.loop.step_numbers import StepNumbers


@pytest.mark.parametrize("name", ["grad_norm", "loss"])
def test_weights_that_are_no_numbers_are_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run_toy(tmp_path, loop={"steps": 2})
    add = StepNumbers.add

    def poisoned(self: StepNumbers, step: int, rate: float, loss: Tensor, norm: Tensor) -> None:
        infinite = torch.tensor(float("inf"))
        add(self, step, rate, infinite if name == "loss" else loss, infinite if name == "grad_norm" else norm)

    monkeypatch.setattr(StepNumbers, "add", poisoned)
    with pytest.raises(InputError, match="of step 3: expected a finite number, got inf") as told:
        run_toy(tmp_path, record={"save_every": 1, "log_every": 100})
    assert "\n" not in str(told.value) and int(final_tensors(tmp_path)["step"]) == 2


def test_a_step_that_was_skipped_has_no_norm(tmp_path: Path) -> None:
    step_numbers = StepNumbers()
    step_numbers.add(1, 1e-3, torch.tensor(0.5), torch.tensor(float("inf")))
    accelerator: Any = type("Scaled", (), {"scaler": object(), "reduce": lambda self, value, how: value})()
    rows = step_numbers.take(accelerator)
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
