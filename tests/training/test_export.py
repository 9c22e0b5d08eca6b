"""Exported files: what they hold, what they say, and that nothing is made up."""

import base64
import hashlib
import io
import json

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from PIL import Image
from safetensors import safe_open
from train_rigs.samples import TINY_XL, base, unet

import gcfg_core
from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.lora_file import read_lora_concept
from gcfg_core.concept.metadata import describe
from gcfg_core.concept.unet_configs import CONFIGS
from gcfg_core.errors import InputError
from training.base.noise_schedule import noise_schedule
from training.export.concept import concept_of, export_run, file_name, lora_concept_of
from training.export.facts import TrainingFacts
from training.sample.concept_model import concept_denoiser, load_concept

FACTS = TrainingFacts(
    steps=700, images=128, resolution=64, ema="ema-0.05", seed=3, dataset_sha256="cd" * 32, settings={"lr": 1e-5}
)


def metadata(path) -> dict[str, str]:
    with safe_open(str(path), "pt") as handle:
        return handle.metadata()


def test_a_trained_unet_becomes_a_concept_file(tmp_path):
    made = base(noise_schedule(None, "v_prediction", True))
    trained = unet(4, null_text=True).state_dict()
    path, _ = export_run(tmp_path, concept_of(made, trained, FACTS, title="Toon faces"), FACTS, dtype="fp32")
    assert path.name == "Toon-faces.safetensors" and sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        path.name,
    ]
    concept = read_concept(path)
    assert all(torch.equal(concept.tensors[key], value) for key, value in trained.items())
    assert (
        concept.prediction_type == "v_prediction" and concept.zero_terminal_snr and concept.latents == "ChromaRadiance"
    )
    assert concept.base == f"tiny base (sha256 {'ab' * 32})"
    assert concept.training == {
        "steps": 700, "images": 128, "resolution": 64, "ema": "ema-0.05", "seed": 3, "dataset_sha256": "cd" * 32,
        "settings": {"lr": 1e-5}, "version": gcfg_core.__version__,
    }  # fmt: skip


def test_names_of_the_trained_module_are_understood(tmp_path):
    trained = {f"unet.{key}": value for key, value in unet(4, null_text=True).state_dict().items()}
    concept = concept_of(base(), {**trained, "text.embedding.weight": torch.zeros(2)}, FACTS)
    assert "conv_in.weight" in concept.tensors and "text.embedding.weight" not in concept.tensors


def test_half_precision_is_the_default(tmp_path):
    path, _ = export_run(tmp_path, concept_of(base(), unet(4, null_text=True).state_dict(), FACTS), FACTS)
    assert path.name == "concept.safetensors"
    assert {value.dtype for value in read_concept(path).tensors.values()} == {torch.float16}


def test_sdxl_constants_are_the_bases(tmp_path):
    made = base(config=TINY_XL)
    path, _ = export_run(tmp_path, concept_of(made, unet(4, TINY_XL, True).state_dict(), FACTS), FACTS)
    concept = read_concept(path)
    assert torch.equal(concept.text_embeds, made.null.pooled) and torch.equal(concept.time_ids, made.null.time_ids)
    x = torch.randn(1, 3, 8, 8)
    assert torch.isfinite(concept_denoiser(concept, made).denoised(x, 0.5, [made.null])[0]).all()


def test_metadata_says_what_is_known(tmp_path):
    picture = Image.new("RGB", (640, 320), "red")
    concept = concept_of(base(), unet(4, null_text=True).state_dict(), FACTS, title="Toons")
    path, _ = export_run(tmp_path, concept, FACTS, thumbnail=picture, description="Drawn faces.")
    told = metadata(path)
    assert told["modelspec.title"] == "Toons" and told["modelspec.description"] == "Drawn faces."
    assert (
        told["modelspec.resolution"] == "64x64" and "modelspec.author" not in told and "modelspec.license" not in told
    )
    assert json.loads(told["gcfg.training"])["steps"] == 700
    kind, _, data = told["modelspec.thumbnail"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (256, 128)


def test_the_card_tells_what_is_known_and_leaves_blanks(tmp_path):
    facts = TrainingFacts(steps=7)
    export_run(tmp_path, concept_of(base(), unet(4, null_text=True).state_dict(), facts, title="Toons"), facts)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("# Toons\n") and "ignores text" in card and "| Steps | 7 |" in card
    assert "Licence: TO FILL IN" in card and "models/gcfg_concepts" in card
    assert "Images" not in card and "None" not in card and "## Settings" not in card
    export_run(
        tmp_path, concept_of(base(), unet(4, null_text=True).state_dict(), FACTS), FACTS, author="A", license_line="CC0"
    )
    card = (tmp_path / "README.md").read_text()
    assert "Author: A" in card and "Licence: CC0" in card and "| lr | 1e-05 |" in card
    filled = card.replace("CC0", "my own words")
    (tmp_path / "README.md").write_text(filled)
    export_run(tmp_path, concept_of(base(), unet(4, null_text=True).state_dict(), FACTS), FACTS)
    assert (tmp_path / "README.md").read_text() == filled
    path, card = export_run(tmp_path, concept_of(base(), unet(4, null_text=True).state_dict(), FACTS), FACTS)
    assert path.exists() and card is None  # it says that the card was not written


@pytest.mark.parametrize("license_line", ["", "CC0"])
@pytest.mark.parametrize("content", [b"mine", b"\xff\xfe no text", b""])
def test_a_readme_that_is_no_card_of_ours_stays(tmp_path, content, license_line):
    (tmp_path / "README.md").write_bytes(content)
    concept = concept_of(base(), unet(4, null_text=True).state_dict(), FACTS)
    export_run(tmp_path, concept, FACTS, license_line=license_line)
    assert (tmp_path / "README.md").read_bytes() == content


@pytest.mark.parametrize("title, name", [("constants", "constants-concept"), ("Constants", "Constants-concept")])
def test_a_runs_own_files_are_not_replaced(tmp_path, title, name):
    (tmp_path / "constants.safetensors").write_bytes(b"a run's")
    concept = concept_of(base(), unet(4, null_text=True).state_dict(), FACTS, title=title)
    assert export_run(tmp_path, concept, FACTS)[0].stem == name
    assert (tmp_path / "constants.safetensors").read_bytes() == b"a run's"


def test_the_hash_is_of_the_tensors_alone(tmp_path):
    """ModelSpec 1.0.0: of everything behind the header, with 0x before it."""
    state = unet(4, null_text=True).state_dict()
    concepts = [concept_of(base(), state, FACTS, title=title) for title in ("a", "another")]
    paths = [export_run(tmp_path, concept, FACTS)[0] for concept in concepts]
    told = [metadata(path)["modelspec.hash_sha256"] for path in paths]
    content = paths[0].read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    assert told[0] == told[1] == f"0x{hashlib.sha256(content[header:]).hexdigest()}"


@pytest.mark.parametrize(
    "architecture, prediction, name",
    [
        ("sd15", "epsilon", "stable-diffusion-v1/null-text-unet"),
        ("sd2", "epsilon", "stable-diffusion-v2-512/null-text-unet"),
        ("sd2", "v_prediction", "stable-diffusion-v2-768-v/null-text-unet"),
        ("sdxl", "epsilon", "stable-diffusion-xl-v1-base/null-text-unet"),
        ("sdxl", "v_prediction", "stable-diffusion-xl-v1-base-v/null-text-unet"),
        ("custom", "v_prediction", "custom/null-text-unet"),
    ],
)
def test_modelspecs_names_of_architectures(architecture, prediction, name):
    config = CONFIGS.get(architecture, unet().config)
    assert describe(Concept({}, config, prediction_type=prediction), "a")["modelspec.architecture"] == name


def test_a_text_model_without_captions_says_so(tmp_path):
    for captions, told in (("none", "trained without captions"), ("sidecar", "a UNet that reads text")):
        facts = TrainingFacts(settings={"captions": captions})
        export_run(tmp_path, concept_of(base(), unet(4).state_dict(), facts, null_text=False), facts)
        assert told in (tmp_path / "README.md").read_text()


def test_a_lora_is_exported_from_the_injected_network(tmp_path):
    made, trained = base(), unet(0, null_text=True)
    inject_adapter_in_model(LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v"]), trained)
    for name, value in trained.named_parameters():
        if "lora_" in name:
            value.data.normal_(std=0.1)
    state = {f"unet.{key}": value for key, value in trained.state_dict().items()}
    concept = lora_concept_of(made, state, FACTS, rank=2, alpha=4.0, title="Toons")
    path, _ = export_run(tmp_path, concept, FACTS, dtype="fp32")
    assert read_lora_concept(path).training["steps"] == 700
    assert "| Rank | 2 |" in (tmp_path / "README.md").read_text()
    x, text = torch.randn(2, 3, 8, 8), torch.zeros(2, 1, 16)
    merged = concept_denoiser(load_concept(path, made), made).unet
    torch.testing.assert_close(merged(x, 300, text).sample, trained(x, 300, text).sample, atol=1e-5, rtol=1e-5)


def test_a_state_without_a_tensor_is_refused():
    state = unet(4, null_text=True).state_dict()
    del state["conv_out.bias"]
    with pytest.raises(InputError, match="conv_out.bias"):
        concept_of(base(), state, FACTS)


@pytest.mark.parametrize("value, remedy", [(1e30, "fp32"), (float("nan"), "diverged")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value, remedy):
    state = unet(4, null_text=True).state_dict()
    state["conv_out.bias"][0] = value
    with pytest.raises(InputError, match=f"conv_out.bias.*{remedy}"):
        export_run(tmp_path, concept_of(base(), state, FACTS), FACTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "title, name",
    [("Toon faces!", "Toon-faces"), ("", "concept"), ("../a b", "a-b"), ("v1.5_x", "v1.5_x"), ("é", "é")],
)
def test_titles_become_names(title, name):
    assert file_name(title) == name
