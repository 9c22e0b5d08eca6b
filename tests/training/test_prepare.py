"""The null-text start: constants are the measured means, and what is reported about them is true."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from train_rigs.bases import FAMILIES, tiny_base

from gcfg_core.concept.concept_file import read_concept, write_concept
from gcfg_core.concept.null_text import LayerMean, remove_text_attention, text_attentions
from gcfg_core.errors import InputError
from training.base.model import Base
from training.base.noise_schedule import noise_schedule
from training.base.read import read_base
from training.base.world_config import WorldConfig
from training.base.world_new import new_world
from training.prepare import change
from training.prepare.calibrate import Calibration, calibrate
from training.prepare.change import output_change
from training.prepare.inputs import noise_levels
from training.prepare.start import start_concept
from training.sample.concept_model import concept_unet
from training.seeds import normal

SEED = 5


@pytest.fixture(params=FAMILIES)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    return read_family(request.param, tmp_path)


def read_family(family: str, folder: Path, **scheduler: Any) -> Base:
    return read_base(str(tiny_base(family, folder / "tokenizers", **scheduler).save_folder(folder / "folder")))


def latents() -> list[Tensor]:
    """Of two sizes, so that a mean of means is not the mean."""
    return [normal((4, 8, 8), "latent", 0), normal((4, 16, 8), "latent", 1) * 0.5, normal((4, 8, 8), "latent", 2)]


def measure(base: Base, **changes: Any) -> Calibration:
    return calibrate(base, latents(), **{"levels": 6, "seed": SEED, "device": "cpu", **changes})


def inputs(base: Base, calibration: Calibration, place: str) -> list[tuple[Tensor, Tensor, dict[str, Any]]]:
    """x_t, t and condition of every picture and level, one by one, written out."""
    given = []
    for number, x0 in enumerate(latents()):
        for t in calibration.levels:
            a = base.schedule.alphas_cumprod[t]
            noise = normal(tuple(x0.shape), SEED, place, number, t)
            x_t = a.sqrt().float() * x0 + (1 - a).sqrt().float() * noise
            given.append((x_t[None], torch.tensor([t]), base.null.arguments()))
    return given


def test_constants_are_the_means_of_the_attentions(base: Base) -> None:
    calibration = measure(base)
    outputs: dict[str, list[Tensor]] = {}
    hooks = []
    for path, block in text_attentions(base.unet):
        keep = outputs.setdefault(path, [])
        hooks.append(block.attn2.register_forward_hook(lambda m, a, out, keep=keep: keep.append(out[0].double())))  # type: ignore[union-attr]
    with torch.no_grad():
        for x, t, condition in inputs(base, calibration, "calibrate"):
            base.unet(x, t, **condition)
    assert outputs.keys() == calibration.constants.keys() and len(outputs) > 2
    for path, seen in outputs.items():
        tokens = torch.cat(seen)
        mean = tokens.mean(0)
        torch.testing.assert_close(calibration.constants[path].flatten().double(), mean, atol=1e-5, rtol=1e-4)
        assert calibration.constants[path].shape == (1, 1, len(mean))
        deviation = ((tokens - mean).square().sum() / tokens.square().sum()).sqrt()
        assert calibration.deviations[path] == pytest.approx(float(deviation), rel=1e-3, abs=1e-5)
        assert deviation > 1e-3
    for hook in hooks:
        hook.remove()


def test_the_change_is_that_of_the_null_text_network(base: Base) -> None:
    calibration = measure(base)
    change = output_change(base, calibration, latents(), device="cpu")
    null_text = remove_text_attention(copy.deepcopy(base.unet), calibration.constants)
    error, size = dict.fromkeys(calibration.levels, 0.0), dict.fromkeys(calibration.levels, 0.0)
    with torch.no_grad():
        for x, t, condition in inputs(base, calibration, "change"):
            whole, changed = base.unet(x, t, **condition).sample, null_text(x, t, **condition).sample
            error[int(t)] += float((changed - whole).double().square().sum())
            size[int(t)] += float(whole.double().square().sum())
    for level in calibration.levels:
        assert change.levels[level] == pytest.approx((error[level] / size[level]) ** 0.5, rel=1e-3)
        assert change.levels[level] > 1e-4
    assert change.mean == pytest.approx(sum(change.levels.values()) / 6)


def test_a_network_whose_attention_is_constant_does_not_change(base: Base) -> None:
    for _, block in text_attentions(base.unet):
        block.attn2.to_out[0].weight.data.zero_()  # type: ignore[union-attr, index]
    calibration = measure(base)
    for path, block in text_attentions(base.unet):
        bias = block.attn2.to_out[0].bias.data  # type: ignore[union-attr, index]
        torch.testing.assert_close(calibration.constants[path].flatten(), bias)
    assert max(calibration.deviations.values()) < 1e-3
    assert output_change(base, calibration, latents(), device="cpu").mean < 1e-6


def test_a_worse_constant_is_reported_as_worse(tmp_path: Path) -> None:
    base = read_family("sd15", tmp_path)
    calibration = measure(base)
    wrong = Calibration({path: -value for path, value in calibration.constants.items()}, calibration.deviations,
                        calibration.levels, calibration.pictures, calibration.seed)  # fmt: skip
    good = output_change(base, calibration, latents(), device="cpu").mean
    assert output_change(base, wrong, latents(), device="cpu").mean > 2 * good


def test_measuring_changes_nothing_and_repeats_to_the_bit(base: Base) -> None:
    before = {key: value.clone() for key, value in base.unet.state_dict().items()}
    base.unet.train()
    one = measure(base)
    output_change(base, one, latents(), device="cpu")
    other = measure(base)
    assert base.unet.training
    assert all(torch.equal(value, before[key]) for key, value in base.unet.state_dict().items())
    assert all(torch.equal(value, other.constants[path]) for path, value in one.constants.items())
    assert not any(block.attn2._forward_hooks for _, block in text_attentions(base.unet))  # type: ignore[union-attr]
    assert any(not torch.equal(v, measure(base, seed=SEED + 1).constants[path]) for path, v in one.constants.items())


def test_the_start_is_the_base_without_its_attention(base: Base, tmp_path: Path) -> None:
    calibration = measure(base)
    prepared = {"pictures": 3}
    path = tmp_path / "start.safetensors"
    write_concept(path, start_concept(base, calibration, prepared=prepared, title="a start"))
    concept = read_concept(path)
    assert concept.null_text and concept.config == base.config and concept.title == "a start"
    assert concept.base == f"folder (sha256 {base.sha256})" and concept.training == {"prepared": prepared}
    assert concept.latent_format == base.latent_format
    for stored, own in ((concept.text_embeds, base.null.pooled), (concept.time_ids, base.null.time_ids)):
        assert (stored is None) == (own is None) and (stored is None or own is None or torch.equal(stored, own))
    x, t, arguments = normal((2, 4, 8, 8), "x"), torch.tensor([3, 700]), base.null.repeated(2).arguments()
    null_text = remove_text_attention(base.unet, calibration.constants)
    again = start_concept(base, calibration)
    assert again.tensors.keys() == concept.tensors.keys()
    assert all(torch.equal(again.tensors[key], value) for key, value in concept.tensors.items())
    with torch.no_grad():
        assert torch.equal(concept_unet(concept)(x, t, **arguments).sample, null_text(x, t, **arguments).sample)


def test_the_start_says_how_its_base_predicts(tmp_path: Path) -> None:
    base = read_family("sdxl", tmp_path, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    concept = start_concept(base, measure(base))
    assert concept.prediction_type == "v_prediction" and concept.zero_terminal_snr


def test_a_world(tmp_path: Path) -> None:
    sizes = {"channels": (32, 32), "attention": (False, True), "heads": 2, "context": 32, "text_heads": 2}
    world = new_world(WorldConfig(**sizes, tokens=8, resolution=8), ["a red face"])  # type: ignore[arg-type]
    pictures = [normal((3, 8, 8), "picture", i) for i in range(2)]
    calibration = calibrate(world, pictures, levels=3, seed=0, device="cpu")
    write_concept(tmp_path / "start.safetensors", start_concept(world, calibration))
    assert output_change(world, calibration, pictures, device="cpu").mean < 1
    assert read_concept(tmp_path / "start.safetensors").latents == world.latent_format


def test_nothing_to_measure(tmp_path: Path) -> None:
    base = read_family("sd15", tmp_path)
    with pytest.raises(InputError, match="at least one picture"):
        calibrate(base, [], levels=2, seed=0, device="cpu")
    remove_text_attention(base.unet, measure(base).constants)
    with pytest.raises(InputError, match="cross-attention"):
        measure(base)


def test_levels_spread_over_the_schedule() -> None:
    schedule = noise_schedule()
    assert noise_levels(schedule, 1) == (500,)
    assert noise_levels(schedule, 4) == (125, 375, 625, 875)
    assert noise_levels(schedule, 5000) == tuple(range(1000))


class OnMps(Tensor):
    """A tensor of a device without float64, as far as asking for it goes."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.double, torch.Tensor.double):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        found = super().__torch_function__(function, types, args, kwargs or {})
        return found.as_subclass(Tensor) if function is Tensor.cpu else found


def mean_of(outputs: Iterable[Tensor]) -> tuple[Tensor, float]:
    mean = LayerMean()
    for output in outputs:
        mean.add(output)
    return mean.constant(), mean.deviation()


def test_a_device_without_float64_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [torch.randn(2, 5, 4) + 1.0 for _ in range(3)]
    constant, deviation = mean_of(output.as_subclass(OnMps) for output in outputs)
    expected, its = mean_of(outputs)
    assert torch.equal(constant, expected) and deviation == its
    base = read_family("sd15", tmp_path)
    calibration = measure(base)
    before = output_change(base, calibration, latents(), device="cpu")
    plain = change.predict
    monkeypatch.setattr(change, "predict", lambda *given: plain(*given).as_subclass(OnMps))
    assert output_change(base, calibration, latents(), device="cpu").levels == before.levels
