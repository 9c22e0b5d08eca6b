"""Models whose weights newer hosts stream: only clones with other weights get a plain model, which is read once."""

import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import comfy.model_management
import pytest
import torch
from torch import Tensor

from rigs.graphs import SIGMAS, gcfg, points
from rigs.lora import lora_file, with_lora
from rigs.micro import micro_cond, micro_model
from rigs.probe import guided
from rigs.streaming import LOADS, streaming_model
from rigs.variants import compute_dtype, v_prediction

C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)
pytestmark = pytest.mark.usefixtures("model_files")


@pytest.fixture(autouse=True)
def count_loads() -> Iterator[None]:
    LOADS.clear()
    yield
    comfy.model_management.unload_all_models()


def answers(pack: Any, base: Any, *models: Any, positive: list = C) -> list[Tensor]:
    terms = [{"model": model, "positive": positive, "weight": 2.0 - i} for i, model in enumerate(models)]
    terms = [{name: value for name, value in term.items() if value is not None} for term in terms]
    return guided(gcfg(pack, base, U, *terms), points(), SIGMAS)


def same(ours: list[Tensor], expected: list[Tensor]) -> bool:
    return all(map(torch.equal, ours, expected))


def halved(pack: Any, model: Any) -> Any:
    """As FreeU, EasyCache and other nodes that patch options alone."""
    clone = model.clone()
    clone.set_model_unet_function_wrapper(lambda ask, given: 0.5 * ask(given["input"], given["timestep"], **given["c"]))
    return clone


EQUAL_WEIGHTS = {"options": halved, "model_sampling": v_prediction, "compute dtype": compute_dtype("bf16")}


@pytest.mark.parametrize("lora", [False, True], ids=["plain base", "LoRA base"])
@pytest.mark.parametrize("is_file", [True, False], ids=["file", "no file"])
@pytest.mark.parametrize("change", EQUAL_WEIGHTS)
def test_a_clone_of_equal_weights_needs_no_second_model(pack: Any, change: str, is_file: bool, lora: bool) -> None:
    """H6, H7: also where the host could not read the file again."""

    def graph(base: Any, other: Any) -> list[Tensor]:
        one, term = (with_lora(base, 1), with_lora(other, 1)) if lora else (base, other)
        term = one if base is other else term
        return answers(pack, one, EQUAL_WEIGHTS[change](pack, term))

    base = streaming_model(0, is_file)
    ours = graph(base, base)
    assert not LOADS
    assert same(ours, graph(micro_model(0), micro_model(0)))
    assert same(ours, graph(base, base)), "the first run left something behind"


def test_all_strengths_of_a_lora_read_the_file_once(pack: Any, caplog: pytest.LogCaptureFixture) -> None:
    """H6: each edit of a widget makes a new clone; the log says once that the file is read again."""
    base = streaming_model(0)
    caplog.set_level(logging.INFO)
    for strength in (1.0, 0.5, -0.7):
        ours = answers(pack, base, with_lora(base, 1, strength), with_lora(base, 2, strength))
        files = [with_lora(micro_model(0), seed, strength) for seed in (1, 2)]
        assert same(ours, answers(pack, micro_model(0), *files))
        gc.collect()
    assert LOADS == [0]
    said = [one.getMessage() for one in caplog.records if "read a second time" in one.getMessage()]
    assert len(said) == 1 and "Guidance Term 1, input 'model'" in said[0]


def test_a_clone_of_the_base_and_another_with_a_lora(pack: Any) -> None:
    base = streaming_model(0)
    ours = answers(pack, base, halved(pack, base), with_lora(base, 1), halved(pack, with_lora(base, 1)))
    plain = micro_model(0)
    terms = [halved(pack, micro_model(0)), with_lora(micro_model(0), 1), halved(pack, with_lora(plain, 1))]
    assert same(ours, answers(pack, plain, *terms))
    assert LOADS == [0]


def test_the_second_model_goes_with_the_first(pack: Any) -> None:
    """H6: nothing keeps a model that ComfyUI has let go, nor the clones that asked for its plain copy."""
    base = streaming_model(0)
    clone = with_lora(base, 1)
    answers(pack, base, clone)
    plain = pack.module("nodes.clones.delegates")._plain_models
    gone = [weakref.ref(one) for one in (base.model, clone, plain[base.model].owner, plain[base.model].owner.model)]
    comfy.model_management.unload_all_models()
    del clone
    gc.collect()
    assert gone[1]() is None
    del base
    gc.collect()
    assert [one() for one in gone] == [None] * 4


def test_the_host_finds_nothing_on_the_clone_that_asked(pack: Any) -> None:
    base = streaming_model(0)
    clone = with_lora(base, 1)
    before = {name: value for name, value in vars(clone).items() if not isinstance(value, (dict, set))}
    answers(pack, base, clone)
    assert before == {name: vars(clone)[name] for name in before}


def test_without_a_file_other_weights_are_refused_by_name(pack: Any) -> None:
    """H7: the message names the node, its input, the model and the remedy."""
    base = streaming_model(0, is_file=False)
    guider = gcfg(pack, base, U, {"model": with_lora(base, 1), "positive": C, "label": "style"})
    with pytest.raises(ValueError, match=r"Guidance Term 'style', input 'model'.*BaseModel.*--disable-dynamic-vram"):
        guided(guider, points(), SIGMAS)


@pytest.mark.parametrize("where", ["term", "base"])
def test_hooks_on_a_streamed_model_act_on_its_plain_copy(pack: Any, where: str) -> None:
    """Streamed weights cannot be patched while sampling; without hooks the model itself is evaluated."""
    name = lora_file(micro_model(0), 2).name
    (hooks,) = pack.run("CreateHookLora", lora_name=name, strength_model=0.8, strength_clip=1.0)
    inputs = {"strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    (cond,) = pack.run("ConditioningSetProperties", cond_NEW=C, **inputs)
    models = [streaming_model(0), micro_model(5)]
    files = [micro_model(0), micro_model(5)]
    for positive, loads in ((C, []), (cond, [0]), (cond, [0])):
        if where == "term":
            ours = answers(pack, models[1], models[0], positive=positive)
            expected = answers(pack, files[1], files[0], positive=positive)
        else:
            ours = answers(pack, with_lora(models[0], 1), None, positive=positive)
            expected = answers(pack, with_lora(files[0], 1), None, positive=positive)
        assert same(ours, expected)
        assert loads == LOADS
