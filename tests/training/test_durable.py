"""Files that are whole or not there: what is waited for, and in which order."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gcfg_core.concept.tensor_file import write_tensors
from training.durable import write_bytes


def tensors(path: Path) -> None:
    write_tensors(path, {"a": torch.ones(3)}, {})


def contents(path: Path) -> None:
    write_bytes(path, b"abc")


@pytest.mark.parametrize("write", [tensors, contents])
def test_content_then_name_then_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    order: list[str] = []
    replace = os.replace

    def flushed(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def renamed(*paths: Path) -> None:
        order.append("rename")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write(tmp_path / "a.safetensors")
    assert order == ["file", "rename", "folder"] and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_file_that_nobody_waits_for_is_renamed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("waited"))
    write_bytes(tmp_path / "a", b"abc", wait=False)
    assert (tmp_path / "a").read_bytes() == b"abc" and len(list(tmp_path.iterdir())) == 1
