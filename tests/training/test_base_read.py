"""One base, however it was saved: the same tensors, condition and schedule."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from train_rigs.bases import FAMILIES, SINGLE_FILE_WIDTH, TinyBase, tiny_base

from gcfg_core.concept.families import family_of, layout_of
from gcfg_core.errors import InputError
from training.base.model import Base
from training.base.read import read_base


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[TinyBase, Path]]:
    """A family's tiny base and its diffusers folder, made once."""
    made: dict[str, tuple[TinyBase, Path]] = {}

    def get(family: str) -> tuple[TinyBase, Path]:
        if family not in made:
            place = tmp_path_factory.mktemp(family)
            base = tiny_base(family, place / "tokenizers", SINGLE_FILE_WIDTH)
            made[family] = base, base.save_folder(place / "folder")
        return made[family]

    return get


def assert_same(one: Base, other: Base) -> None:
    first, second = one.unet.state_dict(), other.unet.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert one.sha256 == other.sha256 and one.codec.digest == other.codec.digest
    assert layout_of(one.config) == layout_of(other.config)
    assert torch.equal(one.null.hidden_states, other.null.hidden_states)
    for left, right in ((one.null.pooled, other.null.pooled), (one.null.time_ids, other.null.time_ids)):
        assert (left is None and right is None) or (left is not None and right is not None and torch.equal(left, right))
    assert torch.equal(one.schedule.alphas_cumprod, other.schedule.alphas_cumprod)
    assert one.schedule.prediction_type == other.schedule.prediction_type
    assert one.latent_format == other.latent_format


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_is_the_folder(family: str, saved: Callable[..., Any], tmp_path: Path) -> None:
    tiny, folder = saved(family)
    one, other = read_base(str(folder)), read_base(str(tiny.save_file(tmp_path / "one.safetensors")))
    assert_same(one, other)
    assert family_of(one.config).name == family
    assert one.schedule.prediction_type == "epsilon" and not one.schedule.zero_terminal_snr
    assert one.latent_format == ("SDXL" if family == "sdxl" else "SD15")
    assert all(torch.equal(value, one.unet.state_dict()[key]) for key, value in tiny.pipeline.unet.state_dict().items())
    assert all(value.dtype == torch.float32 for value in one.unet.state_dict().values()) and not one.unet.training
    assert one.text is not None and other.text is None


@pytest.mark.parametrize("family", FAMILIES)
def test_its_network_computes_what_diffusers_computes(family: str, saved: Callable[..., Any], tmp_path: Path) -> None:
    tiny, _ = saved(family)
    base = read_base(str(tiny.save_file(tmp_path / "one.safetensors")))
    x, t = torch.randn(2, 4, 8, 8), torch.tensor([10, 900])
    arguments = base.null.repeated(2).arguments()
    with torch.no_grad():
        assert torch.equal(base.unet(x, t, **arguments).sample, tiny.pipeline.unet(x, t, **arguments).sample)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("marks", [("v_pred",), ("v_pred", "ztsnr")])
def test_marks_of_a_single_file(family: str, marks: tuple[str, ...], saved: Callable[..., Any], tmp_path: Path) -> None:
    tiny, folder = saved(family)
    other = tmp_path / "folder"
    shutil.copytree(folder, other)
    told = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": "ztsnr" in marks}
    change_json(other / "scheduler" / "scheduler_config.json", **told)
    base = read_base(str(tiny.save_file(tmp_path / "one.safetensors", marks)))
    assert_same(read_base(str(other)), base)
    assert base.schedule.prediction_type == "v_prediction"
    assert base.schedule.zero_terminal_snr == ("ztsnr" in marks)


def test_the_users_word_goes_first(saved: Callable[..., Any], tmp_path: Path) -> None:
    tiny, folder = saved("sd2")
    marked = tiny.save_file(tmp_path / "one.safetensors", ("v_pred", "ztsnr"))
    assert read_base(str(folder), prediction_type="v_prediction").schedule.prediction_type == "v_prediction"
    base = read_base(str(marked), prediction_type="epsilon", zero_terminal_snr=False)
    assert base.schedule.prediction_type == "epsilon" and not base.schedule.zero_terminal_snr
    with pytest.raises(InputError, match="zero terminal SNR"):
        read_base(str(folder), zero_terminal_snr=True)


def test_modelspec_tells_the_prediction_type(saved: Callable[..., Any], tmp_path: Path) -> None:
    tiny, _ = saved("sdxl")
    path = tiny.save_file(tmp_path / "one.safetensors", metadata={"modelspec.prediction_type": "v"})
    assert read_base(str(path)).schedule.prediction_type == "v_prediction"


def test_an_unmarked_sd2_is_guessed_by_its_last_norm(saved: Callable[..., Any], tmp_path: Path) -> None:
    tiny, _ = saved("sd2")
    bias = tiny.pipeline.unet.up_blocks[1].attentions[1].transformer_blocks[0].norm1.bias
    kept = bias.detach().clone()
    try:
        bias.data.copy_(torch.linspace(-1, 1, len(bias)))
        wide = read_base(str(tiny.save_file(tmp_path / "wide.safetensors")))
    finally:
        bias.data.copy_(kept)
    assert wide.schedule.prediction_type == "v_prediction"
    assert read_base(str(tiny.save_file(tmp_path / "narrow.safetensors"))).schedule.prediction_type == "epsilon"


def test_a_folder_without_scheduler_has_stable_diffusions_levels(saved: Callable[..., Any], tmp_path: Path) -> None:
    _, folder = saved("sd15")
    shutil.copytree(folder, tmp_path / "folder")
    shutil.rmtree(tmp_path / "folder" / "scheduler")
    assert_same(read_base(str(folder)), read_base(str(tmp_path / "folder")))


@pytest.mark.parametrize(
    "options",
    [
        {"safe_serialization": False},
        {"max_shard_size": "40KB"},
        {"safe_serialization": False, "max_shard_size": "40KB"},
    ],
    ids=["bin", "shards", "bin-shards"],
)
def test_every_way_of_saving_a_folder(options: dict[str, Any], tmp_path: Path) -> None:
    tiny = tiny_base("sdxl", tmp_path / "tokenizers")
    assert_same(
        read_base(str(tiny.save_folder(tmp_path / "plain"))),
        read_base(str(tiny.save_folder(tmp_path / "other", **options))),
    )


def test_half_precision_has_one_digest(tmp_path: Path) -> None:
    tiny = tiny_base("sd15", tmp_path / "tokenizers", SINGLE_FILE_WIDTH)
    tiny.pipeline.to(torch.float16)
    folder = tiny.save_folder(tmp_path / "folder", variant="fp16")
    assert (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    assert_same(read_base(str(folder)), read_base(str(tiny.save_file(tmp_path / "one.safetensors"))))


def test_another_weight_is_another_digest(tmp_path: Path) -> None:
    tiny = tiny_base("sd15", tmp_path / "tokenizers")
    one = read_base(str(tiny.save_folder(tmp_path / "one")))
    tiny.pipeline.unet.conv_out.bias.data[3] += 1e-3
    tiny.pipeline.vae.quant_conv.bias.data[0] += 1e-3
    other = read_base(str(tiny.save_folder(tmp_path / "other")))
    assert one.sha256 != other.sha256 and one.codec.digest != other.codec.digest


def test_old_names_of_the_vaes_attention(tmp_path: Path) -> None:
    tiny = tiny_base("sd15", tmp_path / "tokenizers")
    folder = tiny.save_folder(tmp_path / "folder")
    expected = read_base(str(folder)).codec.digest
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(path)
    for new, name in old.items():
        tensors = {key.replace(f"attentions.0.{new}.", f"attentions.0.{name}."): v for key, v in tensors.items()}
    assert any("proj_attn" in key for key in tensors)
    path.unlink()
    torch.save(tensors, folder / "vae" / "diffusion_pytorch_model.bin")
    assert read_base(str(folder)).codec.digest == expected


def test_the_file_may_go_once_it_is_read(tmp_path: Path) -> None:
    tiny = tiny_base("sd15", tmp_path / "tokenizers")
    folder = tiny.save_folder(tmp_path / "folder")
    base = read_base(str(folder))
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(b"\0" * path.stat().st_size)
    state = tiny.pipeline.unet.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in base.unet.state_dict().items())


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
