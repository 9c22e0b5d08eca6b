"""A world's text encoder in ComfyUI, of any size: it computes from its file what the trainer's module does."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gcfg_core.world.text_encoder import read_text_encoder, text_config, write_text_encoder
from gcfg_core.world.tokenizer import BEGIN, END, PAD, word_tokenizer

CAPTIONS = ["a red face, smiling", "", "a blue hat and a blue face and a blue coat", "zebra"]


@pytest.mark.parametrize(("width", "layers", "heads", "tokens"), [(32, 1, 1, 8), (48, 3, 4, 20)])
def test_comfyui_and_the_trainer_agree(
    pack: Any, tmp_path: Path, width: int, layers: int, heads: int, tokens: int
) -> None:
    from training.base.world_text import new_word_text, word_text

    tokenizer = word_tokenizer(CAPTIONS[:3], tokens)
    text = new_word_text(text_config(tokenizer, width, layers, heads), tokenizer, seed=0)
    made = torch.Generator().manual_seed(0)
    for parameter in text.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=made) * 0.2)
    path = tmp_path / "text_encoder.safetensors"
    write_text_encoder(path, text.stored())

    stored = read_text_encoder(path)
    states_from_file = word_text(stored, "text").encode(CAPTIONS).hidden_states
    assert torch.equal(states_from_file, text.encode(CAPTIONS).hidden_states)
    ids = [stored.tokenizer.encode(caption) for caption in CAPTIONS]
    clip = pack.module("nodes.loading.world_clip").world_clip(stored, "text")
    states, pooled = clip.cond_stage_model.clip_l.encode(ids)
    assert float((states - states_from_file).norm() / states_from_file.norm()) < 1e-4
    ends = torch.tensor([row.index(END) for row in ids])
    assert torch.allclose(pooled, states_from_file[torch.arange(len(ids)), ends], atol=1e-4)


def test_comfyuis_empty_prompt_is_ours() -> None:
    """Prompt weights pull towards it."""
    from comfy.sd1_clip import gen_empty_tokens

    tokenizer = word_tokenizer(CAPTIONS, 9)
    assert gen_empty_tokens({"start": BEGIN, "end": END, "pad": PAD}, 9) == tokenizer.encode("")
