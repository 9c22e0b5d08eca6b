"""The empty prompt and captions as diffusers' pipelines encode them."""

from pathlib import Path

import pytest
import torch
from train_rigs.bases import END, FAMILIES, SINGLE_FILE_WIDTH, TinyBase, tiny_base, tokenizer

from gcfg_core.concept.concept_file import EMPTY_PROMPT_IDS
from gcfg_core.errors import InputError
from training.base import tokenizers
from training.base.model import Condition
from training.base.read import read_base

LONG = "a very long caption " * 20


def by_pipeline(tiny: TinyBase, prompt: str) -> Condition:
    """What diffusers' own pipeline gives the UNet."""
    arguments = {"device": torch.device("cpu"), "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    with torch.no_grad():
        encoded = tiny.pipeline.encode_prompt(prompt, **arguments)
    return Condition(encoded[0], encoded[2] if tiny.family == "sdxl" else None)


def assert_equal(one: Condition, other: Condition) -> None:
    assert torch.equal(one.hidden_states, other.hidden_states)
    assert (one.pooled is None) == (other.pooled is None)
    if one.pooled is not None and other.pooled is not None:
        assert torch.equal(one.pooled, other.pooled)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_empty_prompt(family: str, tmp_path: Path) -> None:
    tiny = tiny_base(family, tmp_path / "tokenizers")
    base = read_base(str(tiny.save_folder(tmp_path / "folder")))
    assert_equal(base.null, by_pipeline(tiny, ""))
    assert base.null.hidden_states.shape[:2] == (1, 77)
    assert (base.null.time_ids is not None) == (family == "sdxl")
    if base.null.time_ids is not None:
        assert base.null.time_ids.tolist() == [list(EMPTY_PROMPT_IDS)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_empty_prompt_needs_no_tokenizer(family: str, tmp_path: Path) -> None:
    tiny = tiny_base(family, tmp_path / "tokenizers", SINGLE_FILE_WIDTH)
    base = read_base(str(tiny.save_file(tmp_path / "one.safetensors")))
    assert_equal(base.null, by_pipeline(tiny, ""))
    assert base.text is None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("caption", ["", "A small   red Fox!", LONG], ids=["empty", "short", "long"])
def test_captions(family: str, caption: str, tmp_path: Path) -> None:
    tiny = tiny_base(family, tmp_path / "tokenizers")
    base = read_base(str(tiny.save_folder(tmp_path / "folder")))
    assert base.text is not None
    assert_equal(base.text.encode([caption]), by_pipeline(tiny, caption))
    both = base.text.encode([caption, "something else"])
    torch.testing.assert_close(both.hidden_states[:1], by_pipeline(tiny, caption).hidden_states, atol=1e-5, rtol=1e-5)
    assert not torch.equal(both.hidden_states[0], both.hidden_states[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_named_tokenizer_gives_a_single_file_captions(family: str, tmp_path: Path) -> None:
    """One folder serves every encoder, and each still pads as its family does."""
    tiny = tiny_base(family, tmp_path / "tokenizers", SINGLE_FILE_WIDTH)
    path = str(tiny.save_file(tmp_path / "one.safetensors"))
    tokenizer(tmp_path / "named", pad=END)
    for named in (tmp_path / "named", tmp_path / "tokenizers"):
        base = read_base(path, tokenizer=str(named))
        assert base.text is not None
        assert_equal(base.text.encode(["a fox"]), by_pipeline(tiny, "a fox"))
        assert_equal(base.null, by_pipeline(tiny, ""))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_takes_comfyuis_tokenizer(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the pack lies in ComfyUI's folder, or a variable names that; a folder of its own is looked at first."""
    tiny = tiny_base(family, tmp_path / "tokenizers", SINGLE_FILE_WIDTH)
    path = str(tiny.save_file(tmp_path / "one.safetensors"))
    host = tmp_path / "ComfyUI"
    assert read_base(path).text is None  # this encoder knows fewer tokens than CLIP's
    monkeypatch.setattr("training.base.diffusers_folder.CLIP_VOCABULARY", 514)
    monkeypatch.setenv("COMFYUI_PATH", str(host))
    tokenizer(host / "comfy" / "sd1_tokenizer", pad=END)
    base = read_base(path)
    assert base.text is not None
    assert_equal(base.text.encode(["a fox"]), by_pipeline(tiny, "a fox"))
    assert_equal(base.null, by_pipeline(tiny, ""))
    monkeypatch.delenv("COMFYUI_PATH")
    monkeypatch.setattr(tokenizers, "__file__", str(host / "custom_nodes" / "gcfg" / "training" / "base" / "t.py"))
    assert read_base(path).text is not None


def test_an_encoder_without_the_prefix_of_its_names(tmp_path: Path) -> None:
    """Some fine-tunes of SD1.5 leave "text_model." out."""
    from safetensors.torch import load_file, save_file

    tiny = tiny_base("sd15", tmp_path / "tokenizers", SINGLE_FILE_WIDTH)
    path = tiny.save_file(tmp_path / "one.safetensors")
    save_file({key.replace("text_model.", ""): value for key, value in load_file(path).items()}, path)
    assert_equal(read_base(str(path)).null, by_pipeline(tiny, ""))


def test_bad_tokenizers(tmp_path: Path) -> None:
    tiny = tiny_base("sd15", tmp_path / "tokenizers")
    folder = str(tiny.save_folder(tmp_path / "folder"))
    with pytest.raises(InputError, match="vocab.json"):
        read_base(folder, tokenizer=str(tmp_path))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "vocab.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="CLIP's tokenizer"):
        read_base(folder, tokenizer=str(broken))
    tokenizer(tmp_path / "larger", pad=END)
    (tmp_path / "larger" / "added_tokens.json").write_text('{"<new>": 514}', encoding="utf-8")
    with pytest.raises(InputError, match="at most 514 tokens"):
        read_base(folder, tokenizer=str(tmp_path / "larger"))
