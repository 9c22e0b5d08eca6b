"""The optimizer's state through a checkpoint: nested or not, its memory layout, and one that is not whole."""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from train_rigs.runs import final_tensors, run_toy

from gcfg_core.errors import InputError
from training.loop.trainer import CHECKPOINTS
from training.optimizers import OPTIMIZERS
from training.state.checkpoint import latest_checkpoint
from training.state.optimizer_state import gather_optimizer, restore_optimizer

NESTED = "__bnb_optimizer_quant_state__"
EIGHT_BIT = {"optimizer": {"optimizer": "adamw8bit"}}


class NestedAdamW(torch.optim.AdamW):
    """Tells its state as bitsandbytes does: moments in a dict of their own, and the step as an int."""

    def state_dict(self) -> dict[str, Any]:
        told = super().state_dict()
        told["state"] = {
            key: {"step": int(one["step"]), NESTED: {k: v for k, v in one.items() if k != "step"}}
            for key, one in told["state"].items()
        }
        return told

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = {
            key: {"step": torch.tensor(float(one["step"])), **one[NESTED]} for key, one in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": state})


def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for bitsandbytes where that is not installed."""
    module = types.ModuleType("bitsandbytes")
    module.optim = types.SimpleNamespace(AdamW8bit=NestedAdamW)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", module)


@pytest.mark.parametrize("real", [False, True])
def test_nested_state_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool) -> None:
    if real:
        pytest.importorskip("bitsandbytes")
        importlib.import_module("bitsandbytes.optim")
    else:
        ours(monkeypatch)
    run_toy(tmp_path / "whole", **EIGHT_BIT)
    run_toy(tmp_path / "halves", **EIGHT_BIT, loop={"steps": 3})
    run_toy(tmp_path / "halves", **EIGHT_BIT)
    a, b = final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "halves")
    assert any(key.startswith(f"optimizer: {NESTED}/") for key in a)
    assert a.keys() == b.keys() and [key for key in a if not torch.equal(a[key], b[key])] == []


def test_a_checkpoint_that_lost_its_optimizer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_toy(tmp_path, loop={"steps": 2})
    path = latest_checkpoint(tmp_path / CHECKPOINTS)
    assert path is not None
    file = path / "optimizer.safetensors"
    kept = load_file(file)
    save_file({key: value for key, value in kept.items() if not key.endswith("conv_in.weight")}, file)
    monkeypatch.setattr(
        "training.loop.trainer._recover", lambda folder: (str(path), True)
    )  # as if the manifest told this file
    with pytest.raises(InputError, match="optimizer: expected the state of every trained parameter, got no ") as told:
        run_toy(tmp_path, loop={"steps": 3})
    assert "\n" not in str(told.value)
    save_file({key: value + 1 if key.startswith("step/") else value for key, value in kept.items()}, file)
    with pytest.raises(InputError, match="a state after 2 steps"):
        run_toy(tmp_path, loop={"steps": 3})


def trained(layout: torch.memory_format) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3)).to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    network(torch.randn(2, 4, 8, 8)).square().mean().backward()
    optimizer.step()
    return network, optimizer


def moments(network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    return optimizer.state[network[0].weight]["exp_avg"]  # type: ignore[index]


def test_moments_come_back_in_the_weights_layout() -> None:
    network, optimizer = trained(torch.channels_last)
    tensors, rest = gather_optimizer(network, optimizer)
    assert all(value.is_contiguous() for value in tensors.values())  # as files hold them
    again, other = trained(torch.channels_last)
    restore_optimizer(again, other, {**tensors, **rest}, 1, OPTIMIZERS["adamw"].state)
    assert moments(again, other).stride() == again[0].weight.stride()  # type: ignore[index,union-attr,operator]
    assert torch.equal(moments(again, other), moments(network, optimizer))
    plain, third = trained(torch.contiguous_format)
    restore_optimizer(plain, third, {**tensors, **rest}, 1, OPTIMIZERS["adamw"].state)
    assert moments(plain, third).is_contiguous() and torch.equal(moments(plain, third), moments(again, other))
