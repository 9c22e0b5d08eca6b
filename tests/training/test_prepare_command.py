"""`prepare` from a base and a folder to a file and a report."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from train_rigs.bases import SINGLE_FILE_WIDTH, tiny_base
from train_rigs.pictures import save_noise

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.errors import InputError
from training.base.read import read_base
from training.cli import main
from training.commands.prepare import run as prepare
from training.prepare.config import PrepareConfig
from training.prepare.pictures import folder_latents, latent_side


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("base")
    return tiny_base("sdxl", place / "tokenizers").save_folder(place / "base")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    save_noise(tmp_path / "images", [(40, 30), (16, 16), (33, 64)])
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "images"


def run(folder: Path, output: Path, **changes: Any) -> str:
    return prepare(PrepareConfig(**{"base": str(folder), "output": output, "count": 3, "levels": 4, **changes}))


def test_with_images(folder: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "start.safetensors"
    text = run(folder, output, images=images)
    report = json.loads((tmp_path / "start.report.json").read_text(encoding="utf-8"))
    concept = read_concept(output)
    assert report["measured_on"] == "images" and report["pictures"] == 3 and report["latent_side"] == 8
    assert report["levels"] == [125, 375, 625, 875] and "NO IMAGES" not in text
    layers = [key.removesuffix(".null_text_feature") for key in concept.tensors if key.endswith("null_text_feature")]
    assert sorted(report["deviation"]["layers"]) == sorted(layers)
    assert all(layer in text for layer in layers) and str(output) in text
    assert f"{100 * report['output_change']['mean']:.3f} %" in text.splitlines()[-4]
    prepared = concept.training["prepared"]
    assert prepared["output_change"] == report["output_change"] and "layers" not in prepared["deviation"]
    assert prepared["deviation"]["worst"] == max(report["deviation"]["layers"].values())
    assert report["base_sha256"] in concept.base


def test_without_images_it_says_so_loudly(folder: Path, tmp_path: Path) -> None:
    text = run(folder, tmp_path / "start.safetensors")
    assert text.startswith("NO IMAGES WERE GIVEN")
    prepared = read_concept(tmp_path / "start.safetensors").training["prepared"]
    assert prepared["measured_on"] == "standard normal noise"


def test_a_single_file_with_its_resolution(tmp_path: Path, images: Path) -> None:
    base = tiny_base("sd15", tmp_path / "tokenizers", SINGLE_FILE_WIDTH).save_file(tmp_path / "base.safetensors")
    run(base, tmp_path / "start.safetensors", images=images, resolution=16, count=1, levels=2, dtype="fp16")
    concept = read_concept(tmp_path / "start.safetensors")
    assert {value.dtype for value in concept.tensors.values()} == {torch.float16}
    assert concept.training["prepared"]["base"] == "base.safetensors"


def test_it_repeats_to_the_bit(folder: Path, images: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(folder, tmp_path / f"{name}.safetensors", images=images, count=2)
    one, two = (read_concept(tmp_path / f"{name}.safetensors").tensors for name in ("one", "two"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    run(folder, tmp_path / "three.safetensors", images=images, count=2, seed=1)
    three = read_concept(tmp_path / "three.safetensors").tensors
    assert any(not torch.equal(value, three[key]) for key, value in one.items())


def test_latents_are_the_pictures(folder: Path, tmp_path: Path) -> None:
    """A grey picture, whose crop is known, through the base's own VAE."""
    base = read_base(str(folder))
    grey = tmp_path / "grey"
    grey.mkdir()
    Image.new("RGB", (40, 24), (128, 128, 128)).save(grey / "grey.png")
    latent = folder_latents(base, grey, 8, 5, seed=0, device="cpu")
    mean, deviation = base.codec.encode(torch.full((1, 3, 16, 16), 128 / 127.5 - 1))
    assert len(latent) == 1 and latent[0].shape == (4, 8, 8)
    assert ((latent[0] - mean[0]).abs() <= 6 * deviation[0]).all() and not torch.equal(latent[0], mean[0])


def test_the_bases_own_resolution(folder: Path) -> None:
    base = read_base(str(folder))
    assert latent_side(base, None) == 8 and latent_side(base, 32) == 16
    base.config.pop("sample_size")
    assert latent_side(base, None) == 512  # SDXL's 1024 px over this VAE's factor of 2
    with pytest.raises(InputError, match="multiple of 4"):
        latent_side(base, 18)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"base": "absent"}, "nothing there"),
        ({"output": Path("absent/start.safetensors")}, "Make the folder"),
        ({"output": Path("start.bin")}, "ends in .safetensors"),
        ({"images": Path("absent")}, "folder of your pictures"),
        ({"device": "cuda:77"}, "device"),
        ({"device": "nonsense"}, "device"),
        ({"resolution": 9}, "multiple of 4"),
        ({"zero_terminal_snr": True}, "v_prediction"),
    ],
)
def test_bad_input(folder: Path, tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    if "output" in changes:
        changes = {"output": tmp_path / changes["output"]}
    with pytest.raises(InputError, match=word):
        run(folder, **{"output": tmp_path / "start.safetensors", **changes})
    assert not list(tmp_path.glob("*.safetensors"))


def test_an_output_that_exists_stays(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "start.safetensors"
    output.write_bytes(b"mine")
    with pytest.raises(InputError, match="which exists"):
        run(folder, output)
    assert output.read_bytes() == b"mine"
    run(folder, output, overwrite=True, count=1, levels=1)
    assert read_concept(output).null_text
    output.unlink()  # its report is there
    with pytest.raises(InputError, match="start.report.json, which exists"):
        run(folder, output)
    (tmp_path / "run.json").write_bytes(b"a run's")
    run(folder, tmp_path / "run.safetensors", count=1, levels=1)
    assert (tmp_path / "run.json").read_bytes() == b"a run's"


def test_small_pictures_are_measured_on_where_min_side_lets_them(folder: Path, images: Path, tmp_path: Path) -> None:
    large: dict[str, Any] = {"images": images, "resolution": 160, "count": 1, "levels": 1}
    with pytest.raises(InputError, match="a quarter of --resolution 160. Lower --resolution, or give --min-side."):
        run(folder, tmp_path / "start.safetensors", **large)
    with pytest.raises(InputError, match="shorter side below --min-side 100. Lower --min-side."):
        run(folder, tmp_path / "start.safetensors", **large, min_side=100)
    assert "measured on 1 images" in run(folder, tmp_path / "start.safetensors", **large, min_side=33)


def test_nothing_is_written_among_the_pictures(folder: Path, images: Path) -> None:
    before = sorted(images.iterdir())
    with pytest.raises(InputError, match="output: expected a place outside the pictures"):
        run(folder, images / "start.safetensors", images=images)
    assert sorted(images.iterdir()) == before


def test_unknown_settings_are_errors() -> None:
    with pytest.raises(ValidationError, match="pictures"):
        PrepareConfig.model_validate({"base": "b", "output": "o.safetensors", "pictures": 3})


def test_progress_is_shown_and_ctrl_c_is_one_line(
    folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["prepare", "--base", str(folder), "--images", str(images), "--levels", "2", "--output"]
    assert main([*words, str(tmp_path / "start.safetensors")]) == 0
    shown = capsys.readouterr().err
    for part in ("scanning files", "latents", "measuring null-text", "comparing with"):
        assert part in shown

    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.prepare.calibrate.predict", interrupted)
    assert main([*words, str(tmp_path / "other.safetensors")]) == 130
    told = capsys.readouterr().err
    assert "Traceback" not in told and told.endswith("\ninterrupted: prepare was not finished\n")
    assert not (tmp_path / "other.safetensors").exists()
