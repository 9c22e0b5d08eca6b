"""Which weights of a base are read, and which are refused: NaN, variants, fp8, averages, a VAE apart."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from train_rigs.bases import SINGLE_FILE_WIDTH, TinyBase, tiny_base
from train_rigs.commands import train
from train_rigs.pictures import save_noise
from train_rigs.worlds import tiny_world

from gcfg_core.concept.families import FAMILIES
from gcfg_core.errors import InputError
from training.base.codec import VaeCodec
from training.base.read import read_base
from training.base.vae import ldm_vae, read_vae, vae_part
from training.base.world_write import write_world
from training.cli import main

UNET, VAE = "model.diffusion_model.", "first_stage_model."
Saved = Callable[[dict[str, Tensor]], Path]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyBase:
    return tiny_base("sd15", tmp_path_factory.mktemp("tiny") / "tokenizers", SINGLE_FILE_WIDTH)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TinyBase:
    return tiny_base("sd15", tmp_path_factory.mktemp("small") / "tokenizers")


@pytest.fixture(scope="module")
def tensors(tiny: TinyBase, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return load_file(tiny.save_file(tmp_path_factory.mktemp("file") / "one.safetensors"))


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def save(tensors: dict[str, Tensor]) -> Path:
        save_file(tensors, tmp_path / "base.safetensors")
        return tmp_path / "base.safetensors"

    return save


def poisoned(value: Tensor, number: float) -> Tensor:
    changed = value.clone()
    changed.view(-1)[-1] = number
    return changed


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (f"{UNET}input_blocks.1.0.in_layers.2.weight", float("nan")),
        (f"{VAE}decoder.conv_in.weight", float("inf")),
        ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", float("-inf")),
    ],
)
def test_a_number_that_is_not_finite_in_a_file(
    name: str, number: float, tensors: dict[str, Tensor], saved: Saved
) -> None:
    """T5: the tensor is named as the file names it."""
    value = tensors[name]
    with pytest.raises(InputError, match=rf"finite numbers, got 1 of {value.numel()} NaN or infinite in {name}"):
        read_base(str(saved({**tensors, name: poisoned(value, number)})))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_number_that_is_not_finite_in_a_folder(
    part: str, dtype: torch.dtype, small: TinyBase, tmp_path: Path
) -> None:
    """T5: in each part and precision."""
    folder = small.save_folder(tmp_path / "folder")
    path = next((folder / part).glob("*.safetensors"))
    content = {key: value.to(dtype) for key, value in load_file(path).items()}
    name = sorted(content)[-1]
    save_file({**content, name: poisoned(content[name], float("nan"))}, path)
    with pytest.raises(InputError, match=f"{part}: expected finite numbers.*NaN or infinite in {name}"):
        read_base(str(folder))


def test_a_number_that_is_not_finite_in_a_world(tmp_path: Path) -> None:
    """T5: worlds too."""
    base = tiny_world()
    base.unet.conv_in.weight.data.copy_(poisoned(base.unet.conv_in.weight.detach(), float("nan")))
    write_world(tmp_path / "world", base)
    with pytest.raises(InputError, match=r"NaN or infinite in .*conv_in.weight"):
        read_base(str(tmp_path / "world"))


def test_a_tensor_that_nobody_reads_may_hold_anything(tensors: dict[str, Tensor], saved: Saved) -> None:
    read_base(str(saved({**tensors, "loss.logvar": torch.full((2,), float("nan"))})))


def test_the_dry_run_finds_it(small: TinyBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T5: before any picture is looked at."""
    folder = small.save_folder(tmp_path / "sd15")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    content = load_file(path)
    save_file({**content, "conv_out.bias": poisoned(content["conv_out.bias"], float("nan"))}, path)
    save_noise(tmp_path / "images", [(32, 32)] * 3)
    assert train(tmp_path, tmp_path / "run", "--dry-run") == 2
    assert "NaN or infinite in conv_out.bias" in capsys.readouterr().err


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "40KB"}], ids=["whole", "shards"])
@pytest.mark.parametrize("pickled", [{}, {"safe_serialization": False}], ids=["safetensors", "bin"])
@pytest.mark.parametrize("variant", ["fp16", "bf16", "fp32", "non_ema", "my-own"])
def test_a_folder_of_one_variant(
    variant: str, pickled: dict[str, Any], shards: dict[str, Any], small: TinyBase, tmp_path: Path
) -> None:
    """T12: whatever its name; and the plan says so."""
    base = read_base(str(small.save_folder(tmp_path / "folder", variant=variant, **pickled, **shards)))
    plain = small.pipeline.unet.state_dict()
    assert all(torch.equal(value, plain[key]) for key, value in base.unet.state_dict().items())
    assert [note for note in base.notes if f"unet {variant}" in note and "--variant" in note]


def two_variants(small: TinyBase, folder: Path, first: str | None, second: str) -> Path:
    """A folder whose UNet has two variants; the second's conv_out.bias is 1."""
    small.save_folder(folder, variant=first)
    bias = small.pipeline.unet.conv_out.bias
    kept = bias.detach().clone()
    try:
        bias.data.fill_(1.0)
        small.pipeline.unet.save_pretrained(folder / "unet", variant=second)
    finally:
        bias.data.copy_(kept)
    return folder


@pytest.mark.parametrize(
    ("first", "second"), [(None, "fp16"), (None, "non_ema"), ("fp32", "fp16"), ("fp16", "bf16"), ("bf16", "non_ema")]
)
def test_the_choice_among_variants(first: str | None, second: str, small: TinyBase, tmp_path: Path) -> None:
    """T12: plain weights first, then the most exact, and those without averaging last, unless the user names one."""
    folder = str(two_variants(small, tmp_path / "folder", first, second))
    assert not torch.equal(read_base(folder).unet.conv_out.bias, torch.ones(4))
    named = read_base(folder, variant=second)
    assert torch.equal(named.unet.conv_out.bias, torch.ones(4)) and not named.notes
    with pytest.raises(InputError, match=f"variant of folder: expected .*{second}.*got 'fp8'"):
        read_base(folder, variant="fp8")


def test_plain_weights_need_no_note(small: TinyBase, tmp_path: Path) -> None:
    assert read_base(str(small.save_folder(tmp_path / "folder"))).notes == ()


def eight_bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file with the UNet's matrices in float8."""
    return {key: value.to(torch.float8_e4m3fn) if key.startswith(UNET) and value.ndim == 2 else value
            for key, value in tensors.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "kind"),
    [
        ("scaled_fp8", "a scaled fp8 model"),
        ("time_embed.0.scale_weight", "a scaled fp8 model"),
        ("time_embed.0.weight_scale", "a quantized model"),
        ("time_embed.0.comfy_quant", "a quantized model"),
    ],
)
def test_a_quantized_file_is_named(scale: str, kind: str, tensors: dict[str, Tensor], saved: Saved) -> None:
    """T13: not "copy or download it again"."""
    path = saved({**eight_bits(tensors), UNET + scale: torch.tensor(1.0)})
    with pytest.raises(InputError, match=f"{kind} .*{scale}.*give the original in fp16") as caught:
        read_base(str(path))
    assert "download" not in str(caught.value)


def test_plain_float8_is_read_and_said(tensors: dict[str, Tensor], saved: Saved) -> None:
    """T13: its numbers are exact ones of float8, and the plan says that they are coarse."""
    stored = eight_bits(tensors)
    base = read_base(str(saved(stored)))
    assert torch.equal(base.unet.time_embedding.linear_1.weight, stored[f"{UNET}time_embed.0.weight"].float())
    assert [note for note in base.notes if "float8_e4m3fn" in note]


@pytest.fixture
def without_vae(tensors: dict[str, Tensor], saved: Saved) -> Path:
    return saved({key: value for key, value in tensors.items() if not key.startswith(VAE)})


def test_a_file_without_vae_offers_the_flag(without_vae: Path) -> None:
    """T13."""
    with pytest.raises(InputError, match="AutoencoderKL.*none. Give --vae"):
        read_base(str(without_vae))


@pytest.mark.parametrize("form", ["folder", "pipeline", "bare", "prefixed", "diffusers file"])
def test_a_vae_apart(form: str, tiny: TinyBase, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    """T13: in each form that VAEs come in, it is the checkpoint's own, to the bit."""
    folder = tmp_path / "vae"
    own = {key: value for key, value in tensors.items() if key.startswith(VAE)}
    tiny.pipeline.vae.save_pretrained(folder)
    path = {"folder": folder, "diffusers file": folder / "diffusion_pytorch_model.safetensors"}.get(form)
    if form == "pipeline":
        path = tiny.save_folder(tmp_path / "pipeline")
    elif path is None:
        path = tmp_path / "kl.safetensors"
        save_file({key.removeprefix(VAE if form == "bare" else ""): value for key, value in own.items()}, path)
    expected = VaeCodec(ldm_vae(vae_part(tensors), FAMILIES["sd15"], "whole")).digest
    assert VaeCodec(read_vae(path, FAMILIES["sd15"])).digest == expected


def test_a_checkpoint_with_a_vae_apart(without_vae: Path, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    """T13: a whole checkpoint lends its own; the rest of the base is as it was."""
    save_file(tensors, tmp_path / "whole.safetensors")
    one = read_base(str(without_vae), vae=str(tmp_path / "whole.safetensors"))
    other = read_base(str(tmp_path / "whole.safetensors"))
    assert one.codec.digest == other.codec.digest and one.sha256 == other.sha256


def test_a_folder_without_vae(small: TinyBase, tmp_path: Path) -> None:
    """T13: the same offer, and the same remedy."""
    folder = small.save_folder(tmp_path / "folder")
    expected = read_base(str(folder)).codec.digest
    shutil.move(folder / "vae", tmp_path / "apart")
    with pytest.raises(InputError, match="vae.config.json: expected a VAE, got nothing there. Give --vae"):
        read_base(str(folder))
    assert read_base(str(folder), vae=str(tmp_path / "apart")).codec.digest == expected


def test_what_is_no_vae_is_named(without_vae: Path, tmp_path: Path) -> None:
    """T13, T18."""
    with pytest.raises(InputError, match="vae .*nothing there"):
        read_base(str(without_vae), vae=str(tmp_path / "absent"))
    save_file({"x.lora_up.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(InputError, match="lora.safetensors: expected an AutoencoderKL, got a LoRA"):
        read_base(str(without_vae), vae=str(tmp_path / "lora.safetensors"))


def averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """LitEma's copies of the UNet, twice as large, so that they are told apart."""
    names = {key: "model_ema." + key.removeprefix("model.").replace(".", "") for key in tensors if key.startswith(UNET)}
    return {name: 2 * tensors[key] for key, name in names.items()} | {"model_ema.decay": torch.tensor(0.9999)}


def test_averages_beside_plain_weights(tensors: dict[str, Tensor], saved: Saved) -> None:
    """T15: the plain ones are read, as ComfyUI reads them, and it is said; --variant chooses."""
    path = str(saved({**tensors, **averaged(tensors)}))
    own = tensors[f"{UNET}input_blocks.0.0.weight"]
    plain, named, average = read_base(path), read_base(path, variant="non_ema"), read_base(path, variant="ema")
    assert torch.equal(plain.unet.conv_in.weight, own) and torch.equal(named.unet.conv_in.weight, own)
    assert torch.equal(average.unet.conv_in.weight, 2 * own)
    assert [note for note in plain.notes if "average" in note and "--variant ema" in note] and not named.notes
    assert [note for note in average.notes if "ComfyUI does not load" in note]


def test_averages_that_are_not_there_or_not_whole(tensors: dict[str, Tensor], saved: Saved) -> None:
    """T15."""
    with pytest.raises(InputError, match="averaged weights"):
        read_base(str(saved(tensors)), variant="ema")
    averages = averaged(tensors)
    del averages["model_ema.diffusion_modelout2bias"]
    with pytest.raises(InputError, match="no model_ema.diffusion_modelout2bias"):
        read_base(str(saved({**tensors, **averages})), variant="ema")
    with pytest.raises(InputError, match="ema or non_ema, got 'fp16'"):
        read_base(str(saved(tensors)), variant="fp16")


def test_a_run_says_which_weights_and_takes_the_flags(
    small: TinyBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T12, T13: on the command line, in the plan."""
    folder = two_variants(small, tmp_path / "sd15", "fp16", "non_ema")
    shutil.move(folder / "vae", tmp_path / "apart")
    save_noise(tmp_path / "images", [(32, 32)] * 3)
    words = ("--dry-run", "--vae", str(tmp_path / "apart"))
    assert train(tmp_path, tmp_path / "run", *words) == 0
    assert "weights by variant: unet fp16" in capsys.readouterr().out
    assert train(tmp_path, tmp_path / "run", *words, "--variant", "non_ema") == 0
    assert "weights by variant" not in capsys.readouterr().out


def test_sample_says_which_weights_are_read(
    small: TinyBase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T12, T15: on stderr, as `prepare` says it."""
    small.save_folder(tmp_path / "sd15", variant="fp16")
    save_noise(tmp_path / "images", [(32, 32)] * 4)
    assert train(tmp_path, tmp_path / "run", "--steps", "1") == 0
    capsys.readouterr()
    drawing = ("--steps", "1", "--size", "16", "--device", "cpu", "--output", str(tmp_path / "grid.png"))
    assert main(["sample", str(tmp_path / "run"), "--w-concept", "1", *drawing]) == 0
    assert "note: weights by variant: unet fp16" in capsys.readouterr().err
    assert main(["sample", str(tmp_path / "run"), "--w-concept", "1", *drawing, "--variant", "fp16"]) == 0
    assert "note:" not in capsys.readouterr().err
