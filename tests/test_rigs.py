"""The rigs themselves: what other tests lean on must be true."""

import comfy.lora
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.utils
import pytest
import torch

from rigs.checkpoints import CHECKPOINTS, tiny_checkpoint, tiny_vae
from rigs.concepts import CONFIGS, tiny_concept
from rigs.controlnet import micro_controlnet, tiny_controlnet
from rigs.counter import count_forwards
from rigs.lora import lora_file, separate, with_lora
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.stand_ins import StandInCLIP
from rigs.tiny import KINDS, load_tiny, tiny_cond, tiny_latent


def sample(model, positive, negative, cfg=3.0, steps=3, latent=None):
    latent = (latent or micro_latent())["samples"]
    noise = comfy.sample.prepare_noise(latent, 5)
    return comfy.sample.sample(
        model, noise, steps, cfg, "euler", "normal", positive, negative, torch.zeros_like(latent), seed=5
    )


def test_micro_model_is_seeded_and_reads_its_condition():
    a = sample(micro_model(1), micro_cond(1), micro_cond(0))
    assert torch.equal(a, sample(micro_model(1), micro_cond(1), micro_cond(0)))
    assert not torch.allclose(a, sample(micro_model(2), micro_cond(1), micro_cond(0)), rtol=1e-2)
    assert not torch.allclose(a, sample(micro_model(1), micro_cond(2), micro_cond(0)), rtol=1e-2)
    assert torch.isfinite(a).all()


def test_v_prediction_differs_from_eps():
    a = sample(micro_model(1), micro_cond(1), micro_cond(0))
    b = sample(micro_model(1, "v"), micro_cond(1), micro_cond(0))
    assert not torch.allclose(a, b, rtol=1e-2)


def test_counter_counts_chunks_and_changes_nothing():
    model = micro_model(1)
    plain = sample(model, micro_cond(1), micro_cond(0))
    with count_forwards(model, micro_model(2)) as n:
        counted = sample(model, micro_cond(1), micro_cond(0))
    assert torch.equal(plain, counted)
    assert (n.chunks, n.forwards, n.of(model).chunks) == (6, 3, 6)
    assert n.of(model).sigmas == sorted(n.of(model).sigmas, reverse=True)
    with count_forwards(model) as n:
        sample(model, micro_cond(1), micro_cond(0), cfg=1.0)
    assert n.chunks == 3


def test_lora_changes_the_clone_and_separate_shares_nothing():
    base = micro_model(1)
    plain = sample(base, micro_cond(1), micro_cond(0))
    lora = with_lora(base, seed=1)
    changed = sample(lora, micro_cond(1), micro_cond(0))
    assert not torch.allclose(plain, changed, rtol=1e-2)
    apart = separate(lora)
    assert apart.model is not base.model
    assert torch.equal(changed, sample(apart, micro_cond(1), micro_cond(0)))
    assert torch.equal(plain, sample(base, micro_cond(1), micro_cond(0)))


def test_lora_file_is_the_same_lora():
    base = micro_model(1)
    state = comfy.utils.load_torch_file(str(lora_file(base, seed=1)))
    patches = comfy.lora.load_lora(state, comfy.lora.model_lora_keys_unet(base.model, {}))
    clone = base.clone()
    clone.add_patches(patches, 1.0)
    expected = sample(with_lora(base, seed=1), micro_cond(1), micro_cond(0))
    assert torch.equal(sample(clone, micro_cond(1), micro_cond(0)), expected)


EXPECTED = {"sd15": "SD15", "sd2v": "SD20", "sdxl": "Segmind_Vega", "sd3": "SD3", "wan": "WAN21_T2V"}


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_model_is_taken_for_the_real_thing(kind):
    model = load_tiny(kind)
    assert type(model.model.model_config).__name__ == EXPECTED[kind]
    assert (model.model.model_type.name == "V_PREDICTION") == (kind == "sd2v")
    latent = tiny_latent(kind)
    one = sample(model, tiny_cond(kind, 1), tiny_cond(kind, 0), steps=2, latent=latent)
    assert one.shape == latent["samples"].shape and torch.isfinite(one).all()
    other = sample(model, tiny_cond(kind, 2), tiny_cond(kind, 0), steps=2, latent=latent)
    assert not torch.allclose(one, other, rtol=1e-3)
    with count_forwards(model) as n:
        sample(model, tiny_cond(kind, 1), tiny_cond(kind, 0), steps=2, latent=latent)
    assert n.chunks == 4


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_tiny_checkpoint_loads_whole(kind):
    model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(tiny_checkpoint(kind)))
    assert (clip is None) == (kind in ("sdxl", "sd2v"))
    clip = clip or StandInCLIP(kind)
    conds = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a cat", "")]
    latent = {"samples": torch.zeros_like(tiny_latent(kind, size=8)["samples"])}
    out = sample(model, *conds, steps=2, latent=latent)
    image = vae.decode(out)
    assert image.shape == (1, 64, 64, 3)
    assert 0.05 < image.std() < 0.45, "the picture is flat or saturated"
    assert vae.encode(image).shape == out.shape


def test_tiny_video_vae():
    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(tiny_vae("wan"))))
    frames = vae.decode(tiny_latent("wan", size=4)["samples"])
    assert frames.shape == (1, 5, 32, 32, 3) and torch.isfinite(frames).all() and frames.std() > 0.01


@pytest.mark.parametrize("make", ["tiny", "micro"])
def test_controlnet_changes_the_picture(controlled_model, make):
    model, control, positive, negative, latent = controlled_model(make)
    plain = sample(model, positive, negative, latent=latent)
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    positive = [
        [positive[0][0], {"control": control.copy().set_cond_hint(hint, 1.0), "control_apply_to_uncond": False}]
    ]
    controlled = sample(model, positive, negative, latent=latent)
    assert torch.isfinite(controlled).all()
    assert not torch.allclose(plain, controlled, rtol=1e-2)


@pytest.fixture
def controlled_model():
    def make(kind):
        if kind == "micro":
            return micro_model(1), micro_controlnet(1), micro_cond(1), micro_cond(0), micro_latent()
        latent = tiny_latent("sd15", size=8)
        return load_tiny("sd15"), tiny_controlnet(1), tiny_cond("sd15", 1), tiny_cond("sd15", 0), latent

    return make


@pytest.mark.parametrize("kind", CONFIGS)
def test_tiny_concept_loads_in_the_pack(load_concept, kind):
    model = load_concept(tiny_concept(kind))
    assert type(model.model.latent_format) is type(load_tiny(kind).model.latent_format)
    conds = [
        sample(model, tiny_cond(kind, seed), tiny_cond(kind, 0), steps=2, latent=tiny_latent(kind)) for seed in (1, 2)
    ]
    assert torch.isfinite(conds[0]).all() and torch.equal(*conds)
