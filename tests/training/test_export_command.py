"""`export`: any average of a run's newest checkpoint as a file of its own."""

import json
from pathlib import Path

import pytest
import torch
from train_rigs.commands import make_given, train
from train_rigs.pictures import save_noise
from train_rigs.runs import final_tensors
from train_rigs.worlds import CAPTIONS, TINY

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.lora_file import read_lora_concept
from training.base.read import read_base
from training.cli import main


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_given(tmp_path_factory.mktemp("given"))
    for number, path in enumerate(save_noise(folder / "images", [(32, 32)] * 6)):
        path.with_suffix(".txt").write_text(CAPTIONS[number % 3])
    (folder / "world.json").write_text(json.dumps(TINY))
    return folder


def test_the_second_average_of_a_run(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = tmp_path / "cats", tmp_path / "out"
    out.mkdir()
    assert train(given, run, "--held-out", "1", "--export-dtype", "fp32", "--lr", "1e-3") == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    trained, first = final_tensors(run), read_concept(run / "cats.safetensors")
    for average, name in (("ema-0.05", "a"), ("ema-0.1", "b"), ("weights", "c")):
        capsys.readouterr()
        assert main(["export", str(run), str(out / f"{name}.safetensors"), "--average", average]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{out}/{name}.safetensors: null-text, step 4, {average}", f"{out}/{name}.md: its model card",
        ]  # fmt: skip
        made = read_concept(out / f"{name}.safetensors")
        assert torch.equal(made.tensors["conv_in.weight"], trained[f"{average}: unet.conv_in.weight"])
        told = {**first.training, "ema": average}
        if average == "weights":
            del told["ema"]
        assert made.training == told and (made.title, made.base) == (first.title, first.base)
    assert all(
        torch.equal(value, read_concept(out / "a.safetensors").tensors[key]) for key, value in first.tensors.items()
    )
    for name in "abc":  # each has a card of its own
        assert f"`{name}.safetensors` is a null-text UNet" in (out / f"{name}.md").read_text()
    assert {path.name for path in out.iterdir()} == {f"{name}.{end}" for name in "abc" for end in ("md", "safetensors")}
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    (out / "a.md").write_text("notes of mine")
    capsys.readouterr()
    assert main(["export", str(run), str(out / "a.safetensors"), "--overwrite"]) == 0
    assert (out / "a.md").read_text() == "notes of mine" and "a.md: not changed" in capsys.readouterr().out
    for words, told in (
        ([str(run), str(out / "a.safetensors")], "which exists"),
        ([str(run), str(out / "d.safetensors"), "--average", "ema-0.7"], "average: expected ema-0.05 or ema-0.1 or"),
        ([str(run), str(out / "a.SAFETENSORS")], "which exists"),
        ([str(run), str(run / "d.safetensors")], "a place outside the run's folder"),
        ([str(run), str(out / "d.bin")], "a name that ends in .safetensors"),
        ([str(run), str(given / "images" / "d.safetensors")], "a place outside the pictures"),
        ([str(out / "a.safetensors"), str(out / "d.safetensors")], "the folder of a run"),
    ):
        assert main(["export", *words]) == 2
        told_now = capsys.readouterr().err
        assert told in told_now and told_now.count("\n") == 1


def test_a_lora_and_a_world(given: Path, tmp_path: Path) -> None:
    assert train(given, tmp_path / "lora", "--kind", "null-text-lora", "--lora-rank", "2", "--lr", "1e-2") == 0
    words = ["--average", "ema-0.1", "--dtype", "fp32"]
    assert main(["export", str(tmp_path / "lora"), str(tmp_path / "b.safetensors"), *words]) == 0
    lora = read_lora_concept(tmp_path / "b.safetensors")
    key = next(key for key in lora.factors if "lora_B" in key)
    saved = {k.replace(".default.", "."): v for k, v in final_tensors(tmp_path / "lora").items()}
    assert torch.equal(lora.factors[key], saved[f"ema-0.1: unet.{key}"])

    text = ["--kind", "text", "--captions", "sidecar", "--train-text"]
    assert train(given, tmp_path / "run", *text, base="world.json") == 0
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "second"), *words]) == 0
    trained, second = final_tensors(tmp_path / "run"), read_base(str(tmp_path / "second"))
    assert torch.equal(second.unet.conv_in.weight, trained["ema-0.1: unet.conv_in.weight"])
    told = dict(second.text.named_parameters())  # type: ignore[union-attr]
    assert all(torch.equal(value, trained[f"ema-0.1: text.{name}"]) for name, value in told.items())
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "second"), *words]) == 2
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "run" / "world"), "--overwrite"]) == 2
