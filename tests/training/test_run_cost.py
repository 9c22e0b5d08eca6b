"""T17: what the dry run measures on a CPU depends on a step's operations, not on the number of parameters."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from train_rigs.commands import make_given, train
from train_rigs.pictures import save_noise
from train_rigs.samples import condition, unet

from training.kinds.network import Network
from training.launch.cost import operations
from training.loop.step import Batch


def batch_of(count: int, side: int) -> Batch:
    return Batch(torch.zeros(count, 3, side, side), [""] * count, range(count))


@pytest.mark.parametrize("null_text", [True, False])
def test_operations_are_those_of_a_real_pass(null_text: bool) -> None:
    network = Network(unet(0, null_text=null_text), condition(), null_text=null_text)
    batch = batch_of(2, 16)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(batch.latents, torch.full((2,), 500), batch.captions, None)
    assert operations(network, batch) == 3 * counter.get_total_flops() > 0
    assert operations(network, batch_of(4, 16)) == 2 * operations(network, batch)
    assert operations(network, batch_of(2, 64)) >= 15 * operations(network, batch)


def test_a_small_network_on_large_pictures_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("it was run")

    given = make_given(tmp_path / "given")
    save_noise(given / "images", [(32, 32)] * 4)
    monkeypatch.setattr("training.launch.dry_run.measure", measured)
    assert train(given, tmp_path / "run", "--dry-run", "--resolution", "2048", "--min-side", "1") == 0
    told = capsys.readouterr().out
    assert "TFLOP a forward and backward pass, long on a CPU" in told and "time      not measured: " in told
    monkeypatch.undo()
    assert train(given, tmp_path / "run", "--dry-run") == 0
    assert "s a step, measured on random data" in capsys.readouterr().out
