"""Checkpoints on disk: whole or not there, and the last whole one survives whatever goes wrong."""

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from gcfg_core.errors import InputError
from training.state import checkpoint
from training.state.checkpoint import (
    Checkpoint,
    checkpoints,
    fault_of,
    latest_checkpoint,
    read_checkpoint,
    recover,
    write_checkpoint,
)


def made(step: int) -> Checkpoint:
    tensors = {name: {"a": torch.full((5,), float(step)), "b": torch.arange(3)} for name in ("weights", "optimizer")}
    return Checkpoint(step, tensors, {"scaler": {"scale": 65536.0, "_growth_tracker": step}})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_comes_back_to_the_bit(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, made(7), keep_last=2)
    assert path.name == "step-00000007"
    assert names(path) == ["manifest.json", "optimizer.safetensors", "state.json", "weights.safetensors"]
    back = read_checkpoint(path)
    assert back.step == 7 and back.state == made(7).state
    assert torch.equal(back.tensors["weights"]["a"], torch.full((5,), 7.0))
    assert set(json.loads((path / "manifest.json").read_text())["files"]) == set(names(path)) - {"manifest.json"}


def test_the_oldest_go(tmp_path: Path) -> None:
    for step in range(1, 6):
        write_checkpoint(tmp_path, made(step), keep_last=2)
    assert names(tmp_path) == ["step-00000004", "step-00000005"]


def test_a_step_that_is_there_already_is_replaced(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, made(3), keep_last=2)
    (tmp_path / "step-00000003" / "state.json").write_text("{}")
    write_checkpoint(tmp_path, made(3), keep_last=2)
    assert names(tmp_path) == ["step-00000003"] and fault_of(tmp_path / "step-00000003") is None


def spoil_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def spoil_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("spoil", [spoil_cut, Path.unlink, spoil_flip])
def test_a_torn_checkpoint_is_set_aside_for_the_one_before(tmp_path: Path, file: str, spoil) -> None:  # noqa: ANN001
    for step in (1, 2):
        write_checkpoint(tmp_path, made(step), keep_last=2)
    spoil(tmp_path / "step-00000002" / file)
    found, told = recover(tmp_path)
    assert found == tmp_path / "step-00000001"
    assert len(told) == 1 and "step-00000002 is torn" in told[0]
    assert any(name.startswith("torn-step-00000002") for name in names(tmp_path))  # nothing is deleted
    assert latest_checkpoint(tmp_path) == found


def test_leftovers_of_a_killed_save_are_cleared(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, made(1), keep_last=2)
    for name in (".partial-x", ".old-y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").write_bytes(b"half")
    assert recover(tmp_path) == (tmp_path / "step-00000001", [])
    assert names(tmp_path) == ["step-00000001"]


def test_without_checkpoints_there_is_none(tmp_path: Path) -> None:
    assert recover(tmp_path / "none") == (None, [])


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("IoError(28)")])
@pytest.mark.parametrize("at", ["save_file", "flush_file", "_move_in"])
def test_a_full_disk_keeps_the_last_one_and_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, at: str
) -> None:
    write_checkpoint(tmp_path, made(1), keep_last=1)

    def full(*args: object) -> None:
        raise error

    monkeypatch.setattr(checkpoint, at, full)
    with pytest.raises(InputError, match="step-00000001 is complete") as caught:
        write_checkpoint(tmp_path, made(2), keep_last=1)
    assert "\n" not in str(caught.value) and "Free some space" in str(caught.value)
    assert names(tmp_path) == ["step-00000001"]
    assert checkpoints(tmp_path) == [latest_checkpoint(tmp_path)]
