"""Clones of SDXL, SD3 and Wan models, every parameter patched, give the numbers of separately loaded files."""

from typing import Any

import comfy.model_management
import pytest

from gcfg_core.concept.tensor_digest import digest_of
from rigs.graphs import gcfg, relative_error
from rigs.memory import give_back
from rigs.probe import denoised, guided
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

SIGMA = 0.6


@pytest.mark.parametrize("where", ["term", "base"])
@pytest.mark.parametrize("kind", ["sdxl", "sd3", "wan"])
def test_a_merged_clone_equals_a_file_of_its_own(pack: Any, kind: str, where: str) -> None:
    """Model Merge patches every parameter, also those that ComfyUI then loads without their patches."""

    def merged(model: Any) -> Any:
        return pack.run("ModelMergeSimple", model1=model, model2=load_tiny(kind, 1), ratio=0.5)[0]

    plain = load_tiny(kind, 0)
    clone = merged(plain)
    before = digest_of(plain.model.state_dict())
    base, other = (plain, clone) if where == "term" else (clone, plain)
    x, conds = [tiny_latent(kind, seed=1, size=8)["samples"]], [tiny_cond(kind, i) for i in range(2)]
    ours = guided(gcfg(pack, base, conds[0], {"model": other, "positive": conds[1], "weight": 2.0}), x, [SIGMA])
    comfy.model_management.unload_all_models()
    assert digest_of(plain.model.state_dict()) == before
    del plain, clone, base, other

    def apart(is_merged: bool, *conditions: list) -> list:
        """What a file of its own predicts; it is out of memory again before the next is loaded."""
        give_back()
        model = merged(load_tiny(kind, 0)) if is_merged else load_tiny(kind, 0)
        results = [denoised(model, condition, x[0], SIGMA) for condition in conditions]
        comfy.model_management.unload_all_models()
        return results

    zero, same = apart(where == "base", *conds)
    (side,) = apart(where == "term", conds[1])
    assert relative_error(ours, [zero + 2.0 * (side - zero)]) <= 1e-5
    assert relative_error([side], [same]) > 1e-3, "the merge changes too little for this to say anything"
