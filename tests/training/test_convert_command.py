"""A concept of one's own world as a bare state dict and back, by the words that `convert` prints."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from train_rigs.samples import unet
from train_rigs.toy_unet import toy_config

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import read_concept, write_concept
from gcfg_core.concept.families import layout_of
from training.cli import main

KNOWN = toy_config(4, [320, 320]) | {"cross_attention_dim": 768, "attention_head_dim": 8}  # heads that shapes tell


def converted(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, str]:
    """What `convert` prints, by what stands before the colon of each line."""
    assert main(["convert", *map(str, words)]) == 0
    return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".safetensors"])
@pytest.mark.parametrize("null_text", [True, False])
def test_the_way_back_is_the_one_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, suffix: str, null_text: bool
) -> None:
    made = unet(1, null_text=null_text)
    kind = "null-text-unet" if null_text else "unet"
    config = {key: value for key, value in dict(made.config).items() if not key.startswith("_") and value is not None}
    own = Concept(
        made.state_dict(), config, kind, "v_prediction", True, "ChromaRadiance", "My base", title="My 'toons'"
    )
    write_concept(tmp_path / "toons.safetensors", own)
    bare = tmp_path / f"my bare{suffix}"
    told = converted(capsys, tmp_path / "toons.safetensors", bare, "--bare")
    beside = tmp_path / "my bare.config.json"
    assert str(beside) in told and set(tmp_path.iterdir()) == {tmp_path / "toons.safetensors", bare, beside}
    monkeypatch.chdir(tmp_path)
    words = shlex.split(told["back"])
    assert words[:4] == ["python", "-m", "training", "convert"] and main(words[3:]) == 0
    assert "assumed" not in capsys.readouterr().out
    before, after = read_concept("toons.safetensors"), read_concept("CONCEPT.safetensors")
    assert before.tensors.keys() == after.tensors.keys() and before.config == after.config
    assert all(torch.equal(value, after.tensors[key]) for key, value in before.tensors.items())
    for field in ("kind", "prediction_type", "zero_terminal_snr", "latents", "base", "title"):
        assert getattr(before, field) == getattr(after, field)


def test_no_configuration_is_written_where_the_tensors_tell_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_concept(tmp_path / "known.safetensors", Concept(unet(1, KNOWN, null_text=True).state_dict(), KNOWN))
    told = converted(capsys, tmp_path / "known.safetensors", tmp_path / "bare.bin", "--bare")
    assert not list(tmp_path.glob("*.json")) and "--config" not in told["back"]
    assert main(shlex.split(told["back"].replace("CONCEPT", str(tmp_path / "back")))[3:]) == 0
    assert layout_of(read_concept(tmp_path / "back.safetensors").config) == layout_of(KNOWN)


def test_a_file_in_the_configurations_place_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = unet(1, null_text=True)
    config = {key: value for key, value in dict(small.config).items() if not key.startswith("_") and value is not None}
    write_concept(tmp_path / "toons.safetensors", Concept(small.state_dict(), config))
    (tmp_path / "bare.config.json").write_text("mine")
    words = [str(tmp_path / "toons.safetensors"), str(tmp_path / "bare.bin"), "--bare"]
    assert main(["convert", *words]) == 2
    told = capsys.readouterr().err
    assert "bare.config.json: expected a new file" in told and told.count("\n") == 1
    assert (tmp_path / "bare.config.json").read_text() == "mine" and not (tmp_path / "bare.bin").exists()
    assert main(["convert", *words, "--overwrite"]) == 0
    assert (
        json.loads((tmp_path / "bare.config.json").read_text()) == read_concept(tmp_path / "toons.safetensors").config
    )
