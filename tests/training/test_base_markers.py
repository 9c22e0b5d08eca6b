"""Marks beside a base's weights: a base is trained as what it is, or refused by name (cases T1, T4)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from train_rigs.bases import SINGLE_FILE_WIDTH, tiny_base

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.prediction_markers import marked_prediction
from gcfg_core.errors import ConceptFileError, InputError
from training.base.read import read_base

Marked = Callable[..., Path]
COND_PROJ = "model.diffusion_model.time_embed.cond_proj.weight"


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    place = tmp_path_factory.mktemp("sdxl")
    return load_file(tiny_base("sdxl", place / "tokenizers", SINGLE_FILE_WIDTH).save_file(place / "one.safetensors"))


@pytest.fixture
def marked(sdxl: dict[str, Tensor], tmp_path: Path) -> Marked:
    """The tiny SDXL file with more tensors and metadata."""

    def write(tensors: dict[str, Tensor] | None = None, metadata: dict[str, str] | None = None) -> Path:
        save_file({**sdxl, **(tensors or {})}, tmp_path / "marked.safetensors", metadata)
        return tmp_path / "marked.safetensors"

    return write


@pytest.mark.parametrize("marker", ["edm_vpred.sigma_max", "edm_vpred.sigma_min", "edm_mean", "edm_std"])
@pytest.mark.parametrize("word", [None, "epsilon", "v_prediction"])
def test_edm_models_are_refused_by_name(marker: str, word: str | None, marked: Marked) -> None:
    """T1: also where the user says what the network predicts, since its noise levels are others."""
    kind = "CosXL" if "vpred" in marker else "Playground"
    with pytest.raises(InputError, match=rf"EDM.*{kind}.*\({marker}\).*Load Checkpoint"):
        read_base(str(marked({marker: torch.tensor(120.0)})), prediction_type=word)


@pytest.mark.parametrize("key", ["modelspec.prediction_type", "modelspec.predict_key"])
def test_metadata_says_what_is_predicted(key: str, marked: Marked) -> None:
    """T1: ModelSpec's own key, and the one that ComfyUI's Save Checkpoint writes."""
    assert read_base(str(marked(metadata={key: "v_prediction"}))).schedule.prediction_type == "v_prediction"


@pytest.mark.parametrize(
    ("said", "meant"),
    [("v", "v_prediction"), ("v_prediction", "v_prediction"), ("V-Prediction", "v_prediction"),
     ("epsilon", "epsilon"), ("eps", "epsilon"), ("", None), ("sample", "sample")],
)  # fmt: skip
def test_spellings_of_a_prediction(said: str, meant: str | None) -> None:
    """T1: what nobody knows comes back, to be refused by name."""
    assert marked_prediction([], {"modelspec.prediction_type": said}) == meant
    assert marked_prediction([], {"modelspec.predict_key": said}) == meant


def test_the_marker_goes_before_the_metadata(marked: Marked) -> None:
    path = marked({"v_pred": torch.zeros(0)}, {"modelspec.prediction_type": "epsilon"})
    assert read_base(str(path)).schedule.prediction_type == "v_prediction"


def test_an_unknown_prediction_is_refused_unless_the_user_knows_better(marked: Marked) -> None:
    """T1: neither trained as epsilon nor ignored."""
    path = marked(metadata={"modelspec.prediction_type": "rectified_flow"})
    with pytest.raises(InputError, match="epsilon or v_prediction, got 'rectified_flow'"):
        read_base(str(path))
    assert read_base(str(path), prediction_type="epsilon").schedule.prediction_type == "epsilon"


def test_zero_terminal_snr_without_v_prediction_names_both_flags(marked: Marked) -> None:
    """T1: the mark `ztsnr` alone."""
    path = marked({"ztsnr": torch.zeros(0)})
    with pytest.raises(InputError, match="--prediction-type v_prediction or --no-zero-terminal-snr"):
        read_base(str(path))
    assert not read_base(str(path), zero_terminal_snr=False).schedule.zero_terminal_snr
    assert read_base(str(path), prediction_type="v_prediction").schedule.zero_terminal_snr


def test_an_lcm_file_is_refused_by_name(marked: Marked) -> None:
    """T4: its guidance embedding is not dropped silently."""
    with pytest.raises(InputError, match="an LCM UNet.*time_embed.cond_proj.weight.*distilled from"):
        read_base(str(marked({COND_PROJ: torch.zeros(320, 256)})))


def test_an_lcm_folder_is_refused_by_name(tmp_path: Path) -> None:
    """T4: with the same advice, not with one about editing a configuration."""
    folder = tiny_base("sd15", tmp_path / "tokenizers").save_folder(tmp_path / "folder")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "time_cond_proj_dim": 256}), encoding="utf-8")
    with pytest.raises(InputError, match="an LCM UNet.*time_cond_proj_dim.*distilled from") as caught:
        read_base(str(folder))
    assert "Correct the UNet configuration" not in str(caught.value)


def test_a_bare_unet_with_marks(tmp_path: Path) -> None:
    """T1: `convert` and `inspect` read the same marks."""
    unet = tiny_base("sd15", tmp_path / "tokenizers", SINGLE_FILE_WIDTH).pipeline.unet
    state = {key: value.contiguous() for key, value in unet.state_dict().items()}
    save_file(state, tmp_path / "v.safetensors", {"modelspec.predict_key": "v"})
    assert read_concept(tmp_path / "v.safetensors").prediction_type == "v_prediction"
    save_file({**state, "edm_vpred.sigma_max": torch.tensor(120.0)}, tmp_path / "edm.safetensors")
    with pytest.raises(ConceptFileError, match="an EDM v-prediction model such as CosXL"):
        read_concept(tmp_path / "edm.safetensors")
    save_file(state, tmp_path / "flow.safetensors", {"modelspec.predict_key": "flow"})
    with pytest.raises(ConceptFileError, match="epsilon or v_prediction, got 'flow'"):
        read_concept(tmp_path / "flow.safetensors")
