"""A loaded null-text concept is a MODEL like any other: KSampler, LoRAs, ControlNets, patches, saving."""

import folder_paths
import pytest
import torch

from gcfg_core.concept.concept_file import read_concept
from rigs.controlnet import tiny_controlnet
from rigs.counter import count_forwards
from rigs.graphs import norm_error
from rigs.lora import lora_file, lora_patches
from rigs.null_text import SMALL, WIDE, concept_path
from rigs.tiny import load_tiny, tiny_cond, tiny_latent


@pytest.fixture
def sample(pack):
    """KSampler for two steps, the latent it gives."""

    def run(model, positive=None, negative=None, cfg=4.0, size=16, **options):
        settings = {"seed": 1, "steps": 2, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, **options}
        positive = positive or tiny_cond("sdxl", 1)
        negative = negative or tiny_cond("sdxl", 2)
        latent = tiny_latent("sd15", size=size)
        return pack.run(
            "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, cfg=cfg, **settings
        )[0]["samples"]

    return run


@pytest.mark.parametrize("name", list(SMALL))
def test_every_conditioning_gives_the_same_image(load_concept, sample, tmp_path, name):
    model = load_concept(concept_path(tmp_path, SMALL[name]))
    plain = sample(model, cfg=1.0)
    assert torch.isfinite(plain).all()
    other = [[torch.randn(1, 12, 768), {"pooled_output": torch.randn(1, 1280), "width": 64, "crop_h": 9}]]
    nothing = [[torch.zeros(1, 1, 8), {}]]
    assert torch.equal(sample(model, cfg=1.0, positive=other), plain)
    assert torch.equal(sample(model, cfg=1.0, positive=nothing), plain)
    # so guidance between two prompts is no guidance
    assert norm_error(sample(model, cfg=7.0, positive=other, negative=nothing), plain) < 1e-5


def test_sdxl_with_other_constants_is_another_model(load_concept, sample, tmp_path):
    first = load_concept(concept_path(tmp_path, SMALL["sdxl"], "a"))
    other = load_concept(concept_path(tmp_path, SMALL["sdxl"], "b", time_ids=torch.full((1, 6), 256.0)))
    assert norm_error(sample(other, cfg=1.0), sample(first, cfg=1.0)) > 1e-4


@pytest.mark.usefixtures("model_files")
def test_a_lora_of_the_base_model_takes_what_fits(pack, load_concept, sample, tmp_path):
    base, concept = load_tiny("sd15"), load_concept(concept_path(tmp_path, WIDE["sd15"]))
    patches = lora_patches(base)
    name = lora_file(base, seed=77).name
    (patched,) = pack.run("LoraLoaderModelOnly", model=concept, lora_name=name, strength_model=1.0)
    taken = {key for key in patches if "attn2" not in key}
    assert taken and set(patched.patches) == taken
    assert not torch.equal(sample(patched), sample(concept))


def test_controlnets_act_on_it(pack, load_concept, sample, tmp_path):
    model = load_concept(concept_path(tmp_path, WIDE["sd15"]))
    plain = tiny_cond("sd15")
    positive, negative = pack.run(
        "ControlNetApplyAdvanced", positive=plain, negative=plain, control_net=tiny_controlnet(),
        image=torch.rand(1, 128, 128, 3), strength=1.0, start_percent=0.0, end_percent=1.0,
    )[:2]  # fmt: skip
    controlled = sample(model, positive=positive, negative=negative, cfg=1.0)
    assert torch.isfinite(controlled).all()
    assert not torch.equal(controlled, sample(model, positive=plain, negative=plain, cfg=1.0))


def test_models_merge_with_it(pack, load_concept, sample, tmp_path):
    one = load_concept(concept_path(tmp_path, SMALL["sd15"], "a", seed=0))
    two = load_concept(concept_path(tmp_path, SMALL["sd15"], "b", seed=1))
    (merged,) = pack.run("ModelMergeSimple", model1=one, model2=two, ratio=0.25)
    key = next(k for k in one.model.state_dict() if k.endswith("null_text_feature"))
    expected = 0.25 * one.model.state_dict()[key] + 0.75 * two.model.state_dict()[key]
    sample(merged)
    torch.testing.assert_close(merged.model.state_dict()[key], expected)
    wide = load_concept(concept_path(tmp_path, WIDE["sd15"], "c"))
    (mixed,) = pack.run("ModelMergeSimple", model1=wide, model2=load_tiny("sd15"), ratio=0.5)
    assert torch.isfinite(sample(mixed)).all()


@pytest.mark.parametrize("name", list(SMALL))
def test_a_saved_model_is_loaded_again(pack, load_concept, sample, tmp_path, monkeypatch, name):
    v = name != "sd15"
    fields = {"prediction_type": "v_prediction", "zero_terminal_snr": True} if v else {}
    path = concept_path(tmp_path, SMALL[name], **fields)
    model = load_concept(path)
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    node = pack.node("ModelSave")()
    node.output_dir = str(tmp_path)
    node.save(model, "saved/again")
    (saved,) = (tmp_path / "saved").glob("again*.safetensors")
    again = load_concept(saved)
    assert torch.equal(sample(again), sample(model))
    old, new = read_concept(path), read_concept(saved)
    assert dict(new.config) == dict(old.config) and new.prediction_type == old.prediction_type
    assert new.zero_terminal_snr == old.zero_terminal_snr and set(new.tensors) == set(old.tensors)


# ---- attention patches ----


def test_replacing_its_cross_attention_is_refused_with_a_remedy(load_concept, sample, tmp_path):
    model = load_concept(concept_path(tmp_path, SMALL["sd15"])).clone()
    model.set_model_attn2_replace(lambda q, k, v, extra_options: q, "middle", 0)
    with pytest.raises(RuntimeError, match="null-text concept model: it has no cross-attention.*base model"):
        sample(model)


def test_patches_around_its_cross_attention_run(load_concept, sample, tmp_path):
    plain = load_concept(concept_path(tmp_path, SMALL["sd15"]))
    before = sample(plain)
    seen = []
    model = plain.clone()
    model.set_model_attn2_patch(lambda q, k, v, options: (seen.append((q.shape, k.shape)), (q, k, v))[1])
    assert torch.equal(sample(model), before) and len(seen) > 16

    def in_place(out, extra_options):
        seen.append(out.shape)
        out[: out.shape[0] // 2] *= 3.0
        return out.mul_(1.5)

    seen.clear()
    model = plain.clone()
    model.set_model_attn2_output_patch(in_place)
    assert not torch.equal(sample(model), before)
    assert all(len(shape) == 3 and shape[1] > 1 for shape in seen)
    assert torch.equal(sample(plain), before), "the patch wrote into the constant"


# ---- in a guidance graph ----


def test_it_is_a_term_of_the_papers_graph(pack, load_concept, tmp_path):
    base, concept = load_tiny("sd15"), load_concept(concept_path(tmp_path, WIDE["sd15"]))
    empty, prompt = tiny_cond("sd15", 0), tiny_cond("sd15", 1)
    (terms,) = pack.run("GCFG_GuidanceTerm", model=concept, weight=2.5)
    (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=prompt, weight=2.5)
    with count_forwards(base, concept) as counted:
        result = pack.run(
            "GCFG_Sampler", model=base, conditioning=empty, latent_image=tiny_latent("sd15"), terms=terms, seed=1,
            steps=3, sampler_name="euler", scheduler="normal",
        )[0]["samples"]  # fmt: skip
    assert torch.isfinite(result).all()
    assert counted.of(base).chunks == 6 and counted.of(concept).chunks == 3
