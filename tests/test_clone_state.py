"""The list of all that clones can differ in knows every attribute of this host's patchers."""

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import comfy.model_patcher
import pytest
import torch
from comfy.model_patcher import ModelPatcher

from rigs.graphs import SIGMAS, cfg, points
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_model
from rigs.probe import guided
from rigs.streaming import DYNAMIC, streaming_model


def assigned(source: Any, owner: str) -> set[str]:
    """Names that the code of a class or function assigns as ``owner.name``, also with setattr; owner may have dots."""
    names = set()
    for node in ast.walk(ast.parse(inspect.cleandoc("\n" + inspect.getsource(source)))):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            for target in (part for one in targets for part in getattr(one, "elts", [one])):
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == owner:
                    names.add(target.attr)
    return names


def patchers_of_core() -> list[type]:
    classes = vars(comfy.model_patcher).values()
    return [one for one in classes if isinstance(one, type) and issubclass(one, ModelPatcher)]


def used(dynamic: bool = False) -> Iterator[ModelPatcher]:
    """A patcher, a clone of it with all kinds of patches, and that clone's clone, loaded and sampled with in turn."""
    model = streaming_model(0) if dynamic else micro_model(0)
    other = with_lora(model, 1)
    other.set_model_compute_dtype(torch.float32)
    other.add_weight_wrapper("diffusion_model.input_blocks.0.0.weight", lambda weight: weight)
    for each in (model, other, other.clone()):
        guided(cfg(each, micro_cond(0), micro_cond(1), 2.0), points(), SIGMAS)
        yield each


DYNAMICS = [False] if DYNAMIC is None else [False, True]


def test_every_attribute_of_a_patcher_is_in_the_list(pack: Any) -> None:
    known = set(pack.module("nodes.clones.clone_state").PATCHER)
    named = set().union(*(assigned(one, "self") for one in patchers_of_core()))
    named |= assigned(ModelPatcher.clone, "n")
    assert {"patches", "object_patches", "force_cast_weights"} <= named
    assert named <= known, "say in nodes/clones/clone_state.py what becomes of these when clones share a module"


@pytest.mark.parametrize("dynamic", DYNAMICS)
def test_every_attribute_that_a_patcher_has_is_in_the_list(pack: Any, dynamic: bool) -> None:
    known = set(pack.module("nodes.clones.clone_state").PATCHER)
    for patcher in used(dynamic):
        assert set(vars(patcher)) <= known


@pytest.mark.parametrize("dynamic", DYNAMICS)
def test_every_attribute_that_loading_sets_in_the_module_is_in_the_list(pack: Any, dynamic: bool) -> None:
    state, fresh = pack.module("nodes.clones.clone_state"), micro_model(0).model
    before = {name: set(vars(layer)) for name, layer in fresh.named_modules()}
    for patcher in used(dynamic):
        for name, layer in patcher.model.named_modules():
            known = set(state.LAYER if name else state.MODULE)
            assert set(vars(layer)) - before[name] <= known, name or "the module"
    for kind in patchers_of_core():
        assert assigned(kind, "self.model") <= set(state.MODULE)
        assert assigned(kind, "m") <= set(state.LAYER)


def test_an_attribute_that_is_new_is_noticed(pack: Any) -> None:
    known = set(pack.module("nodes.clones.clone_state").PATCHER)

    class Newer(ModelPatcher):
        def set_what_is_new(self, value: int) -> None:
            self.what_is_new = value

    assert assigned(Newer, "self") - known == {"what_is_new"}


def test_what_makes_clones_differ_is_what_the_list_says(pack: Any) -> None:
    """A clone that differs in one of these is another model; one that differs in nothing is the same."""
    identity, state = pack.module("nodes.clones.identity"), pack.module("nodes.clones.clone_state")
    model = micro_model(0)
    assert identity.is_same_model(model, model.clone())
    for name in state.STATE:
        clone = model.clone()
        value = getattr(clone, name)
        if isinstance(value, dict):
            value["what is new"] = [object()]
        else:
            setattr(clone, name, not value if isinstance(value, bool) else object())
        assert not identity.is_same_model(model, clone), name
