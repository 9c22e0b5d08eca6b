"""Checkpoints of PyTorch Lightning: read without running anything of theirs (case T8)."""

import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from train_rigs.bases import SINGLE_FILE_WIDTH, tiny_base

from gcfg_core.concept.tensor_file import open_tensors
from gcfg_core.errors import ConceptFileError
from training.base.read import read_base

OLD, NEW = "pytorch_lightning.callbacks.model_checkpoint", "lightning.pytorch.callbacks.model_checkpoint"
WEIGHTS = {"a.weight": torch.arange(12.0).view(3, 4), "b": torch.arange(3.0)}


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Classes under Lightning's names to pickle with; reading them back would raise."""
    made: dict[str, Any] = {}
    for module in (OLD, NEW):
        made[module] = type("ModelCheckpoint", (), {"__module__": module})
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
        sys.modules[module].ModelCheckpoint = made[module]
    yield made


def lightning(state: dict[str, Any], callback: Any, **more: Any) -> dict[str, Any]:
    """What Lightning's Trainer saves: notes with classes, numpy scalars, types and arrays."""
    notes = {"monitor": "val/loss", "best_model_score": torch.tensor(0.5), "current": np.float64(0.25),
             "kind": np.dtype("float32"), "many": np.arange(3)}  # fmt: skip
    return {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "1.4.2", "state_dict": OrderedDict(state),
            "callbacks": {callback: notes, "object": callback()}, "optimizer_states": [],
            "lr_schedulers": [{"last_lr": np.float32(1e-5)}], **more}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("module", [OLD, NEW])
def test_its_tensors_are_read(module: str, zipped: bool, callbacks: dict[str, Any], tmp_path: Path) -> None:
    """T8: torch alone refuses the file; the notes beside the tensors become nothing."""
    path = tmp_path / "model.ckpt"
    torch.save(lightning(WEIGHTS, callbacks[module]), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    tensors, metadata = open_tensors(path)
    assert tensors.keys() == WEIGHTS.keys() and not metadata
    assert all(torch.equal(tensors[key], value) for key, value in WEIGHTS.items())


def test_nothing_of_lightning_is_imported_and_nothing_stays_allowed(callbacks: dict[str, Any], tmp_path: Path) -> None:
    """T8: the stand-ins go once the file is read."""
    path = tmp_path / "model.ckpt"
    torch.save(lightning(WEIGHTS, callbacks[OLD]), path)
    for name in [name for name in sys.modules if name.startswith(("pytorch_lightning", "lightning"))]:
        del sys.modules[name]
    before = torch.serialization.get_safe_globals()
    open_tensors(path)
    assert not [name for name in sys.modules if name.startswith(("pytorch_lightning", "lightning"))]
    assert set(torch.serialization.get_safe_globals()) == set(before)


class Attack:
    """Leaves a folder where it is run."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_among_the_notes_is_named_and_not_run(zipped: bool, callbacks: dict[str, Any], tmp_path: Path) -> None:
    """T8: harmless names beside it do not let it through."""
    path, proof = tmp_path / "model.ckpt", tmp_path / "it ran"
    content = lightning(WEIGHTS, callbacks[OLD], hyper_parameters=Attack(proof))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ConceptFileError, match=r"pickle that needs code to be run \((posix|nt).mkdir\).*It was not run"
    ):
        open_tensors(path)
    assert not proof.exists()


def test_a_dict_around_the_state_dict_alone(tmp_path: Path) -> None:
    """As ComfyUI reads it; beside other entries it is none."""
    torch.save({"model": WEIGHTS}, tmp_path / "one.pt")
    torch.save({"model": WEIGHTS, "epoch": 1}, tmp_path / "two.pt")
    assert open_tensors(tmp_path / "one.pt")[0].keys() == WEIGHTS.keys()
    with pytest.raises(ConceptFileError, match="a state dict of tensors, got a dict without tensors"):
        open_tensors(tmp_path / "two.pt")


def test_a_base_in_a_lightning_checkpoint(callbacks: dict[str, Any], tmp_path: Path) -> None:
    """T8: it is the same base as the .safetensors file."""
    tiny = tiny_base("sd15", tmp_path / "tokenizers", SINGLE_FILE_WIDTH)
    plain = tiny.save_file(tmp_path / "plain.safetensors")
    torch.save(lightning(load_file(plain), callbacks[OLD]), tmp_path / "model.ckpt")
    one, other = read_base(str(plain)), read_base(str(tmp_path / "model.ckpt"))
    assert one.sha256 == other.sha256 and one.codec.digest == other.codec.digest
