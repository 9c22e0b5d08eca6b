"""Apply Guidance Terms: any node that samples with CFGGuider samples the graph, to the bit, or is refused by name."""

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import comfy.samplers
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from rigs.counter import count_forwards
from rigs.graphs import chain, norm_error
from rigs.lora import lora_file, with_lora
from rigs.micro import FLAT, micro_cond, micro_latent, micro_model
from rigs.random_graphs import RandomGraph, random_graph

STEPS, CFG, SEED, CONDS = 3, 4.5, 11, 5
GRAPHS = 20
pytestmark = pytest.mark.filterwarnings("ignore:Should have t")  # torchsde, about the last bits of its times


@pytest.fixture(scope="module")
def models() -> list[Any]:
    base = micro_model(0, unet=FLAT)
    return [base, with_lora(base, 1), micro_model(2, unet=FLAT), micro_model(3, "v", FLAT)]


@pytest.fixture(scope="module")
def conds() -> list[Any]:
    return [micro_cond(seed) for seed in range(CONDS + 1)]


def sampling(seed: int) -> dict[str, Any]:
    r = random.Random(seed)
    sampler, scheduler = (
        r.choice(["euler", "dpmpp_2m", "heun", "euler_ancestral", "ddim"]),
        r.choice(["normal", "karras"]),
    )
    denoise = r.choice([1.0, 1.0, 0.6])
    return {"seed": SEED, "steps": STEPS, "sampler_name": sampler, "scheduler": scheduler, "denoise": denoise}


def applied(pack: Any, model: Any, terms: tuple, rescale: float = 0.0) -> Any:
    return pack.run("GCFG_ApplyTerms", model=model, terms=terms, rescale=rescale)[0]


def ksampler(pack: Any, model: Any, conds: list, latent: dict, cfg: float = CFG, seed: int = 0) -> Any:
    positive, negative = conds[-1], conds[0]
    return pack.run(
        "KSampler", model=model, positive=positive, negative=negative, cfg=cfg, latent_image=latent, **sampling(seed)
    )[0]["samples"]


def with_prompt(graph: RandomGraph, inputs: list[dict[str, Any]], prompt: Any) -> list[dict[str, Any]]:
    """The same terms under the sampling node's positive and cfg: in the prompt's term, or in one before the others."""
    place = term_of_prompt(graph)
    if place is None:
        return [{"positive": prompt, "weight": CFG}, *inputs]
    replaced = {**inputs[place], "positive": prompt, "weight": CFG}
    return [*inputs[:place], replaced, *inputs[place + 1 :]]


def term_of_prompt(graph: RandomGraph) -> int | None:
    """The first term with the base model and another condition on one side and the base on the other, not negative."""
    for i, term in enumerate(graph.terms):
        (model, condition), reference = term.side("positive"), term.side("reference")
        if reference == (0, 0) and model == 0 and condition != 0 and term.weight >= 0.0:
            return i
    return None


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_ksampler_is_gcfg_sampler(pack: Any, models: list, conds: list, seed: int) -> None:
    graph = random_graph(seed, pool=len(models), conds=CONDS)
    used, latent = [models[i] for i in graph.models], micro_latent(seed, batch=graph.batch)
    inputs = [term.inputs(used, conds) for term in graph.terms]
    rescale = random.Random(seed).choice([0.0, 0.0, 0.7])
    with count_forwards(*models) as counter:
        got = ksampler(pack, applied(pack, used[0], chain(pack, inputs), rescale), conds, latent, seed=seed)
        asked = counter.chunks
        counter.reset()
        terms = chain(pack, with_prompt(graph, inputs, conds[-1]))
        expected, _ = pack.run("GCFG_Sampler", model=used[0], conditioning=conds[0], terms=terms, latent_image=latent,
                               rescale=rescale, **sampling(seed))  # fmt: skip
    assert torch.equal(got, expected["samples"]) and asked == counter.chunks


def test_some_graphs_have_a_term_of_a_prompt_and_some_none() -> None:
    found = [term_of_prompt(random_graph(seed, pool=4, conds=CONDS)) is None for seed in range(GRAPHS)]
    assert 4 <= sum(found) <= GRAPHS - 4


def test_a_negative_term_stays_what_it_is(pack: Any, models: list, conds: list) -> None:
    negative = {"positive": conds[1], "weight": -2.0}
    got = ksampler(pack, applied(pack, models[0], chain(pack, [negative])), conds, micro_latent(0))
    both = chain(pack, [{"positive": conds[-1], "weight": CFG}, negative])
    expected, _ = pack.run("GCFG_Sampler", model=models[0], conditioning=conds[0], terms=both,
                           latent_image=micro_latent(0), rescale=0.0, **sampling(0))  # fmt: skip
    assert torch.equal(got, expected["samples"])


def concept(pack: Any, models: list, **more: Any) -> tuple:
    return chain(pack, [{"model": models[2], "weight": 1.5, **more}])


def test_inpainting_and_noise_are_the_sampling_nodes(pack: Any, models: list, conds: list) -> None:
    mask = torch.zeros(2, 1, 8, 8)  # another one for each picture
    mask[0, ..., :4], mask[1, ..., 4:] = 1.0, 1.0
    latent = micro_latent(0, batch=2) | {"noise_mask": mask}
    terms = concept(pack, models)
    got = ksampler(pack, applied(pack, models[0], terms), conds, latent)
    both = chain(pack, [{"positive": conds[-1], "weight": CFG}, {"model": models[2], "weight": 1.5}])
    expected, _ = pack.run("GCFG_Sampler", model=models[0], conditioning=conds[0], terms=both, latent_image=latent,
                           rescale=0.0, **sampling(0))  # fmt: skip
    assert torch.equal(got, expected["samples"])
    for picture, kept in ((0, slice(4, None)), (1, slice(None, 4))):
        assert norm_error(got[picture, ..., kept], latent["samples"][picture, ..., kept]) < 1e-6


def test_the_model_itself_is_as_before(pack: Any, models: list, conds: list) -> None:
    before = ksampler(pack, models[0], conds, micro_latent(0))
    changed = applied(pack, models[0], concept(pack, models))
    assert norm_error(ksampler(pack, changed, conds, micro_latent(0)), before) > 1e-3
    assert torch.equal(ksampler(pack, models[0], conds, micro_latent(0)), before)


def test_patches_before_and_after_act_on_the_base(pack: Any, models: list, conds: list) -> None:
    """A LoRA, and a cfg function; each before and after Apply Guidance Terms."""
    terms = concept(pack, models)
    loras = [applied(pack, with_lora(models[0], 5), terms), with_lora(applied(pack, models[0], terms), 5)]
    one, other = (ksampler(pack, model, conds, micro_latent(0)) for model in loras)
    assert torch.equal(one, other)
    assert norm_error(one, ksampler(pack, applied(pack, models[0], terms), conds, micro_latent(0))) > 1e-3
    (before,) = pack.run("RescaleCFG", model=models[0], multiplier=0.7)
    (after,) = pack.run("RescaleCFG", model=applied(pack, models[0], terms), multiplier=0.7)
    one, other = (ksampler(pack, model, conds, micro_latent(0)) for model in (applied(pack, before, terms), after))
    assert torch.equal(one, other)


def test_wrappers_of_the_base_run_once(pack: Any, models: list, conds: list) -> None:
    seen: list[str] = []

    def noted(name: str) -> Any:
        def wrapper(executor: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return executor(*args, **kwargs)

        return wrapper

    model = models[0].clone()
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "a", noted("before"))
    model = applied(pack, model, concept(pack, models))
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "b", noted("after"))
    ksampler(pack, model, conds, micro_latent(0))
    assert sorted(seen) == ["after", "before"]


@pytest.mark.usefixtures("model_files")
def test_hooks_of_the_prompt_act_and_leave_nothing(pack: Any, models: list, conds: list) -> None:
    """A LoRA hook on the sampling node's positive, and a term that names the base model itself."""
    (hooks,) = pack.run("CreateHookLora", lora_name=lora_file(models[0], 7).name, strength_model=0.8, strength_clip=1.0)
    properties = {"cond_NEW": conds[-1], "strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    (hooked,) = pack.run("ConditioningSetProperties", **properties)
    inputs = [{"model": models[0], "positive": conds[1], "weight": 2.0, "label": "prompt"}, {"model": models[2]}]
    model = applied(pack, models[0], chain(pack, inputs))
    got = ksampler(pack, model, [*conds[:-1], hooked], micro_latent(0))
    terms = chain(pack, [{"positive": hooked, "weight": CFG}, {"model": models[2]}])
    expected, _ = pack.run("GCFG_Sampler", model=models[0], conditioning=conds[0], terms=terms,
                           latent_image=micro_latent(0), rescale=0.0, **sampling(0))  # fmt: skip
    assert torch.equal(got, expected["samples"])
    assert not model.hook_patches and model.hook_patches_backup is None and not models[0].hook_patches
    plain = ksampler(pack, model, conds, micro_latent(0))
    assert norm_error(plain, got) > 1e-4
    assert torch.equal(ksampler(pack, applied(pack, models[0], chain(pack, inputs)), conds, micro_latent(0)), plain)


def test_a_model_with_terms_is_refused_inside_a_graph(pack: Any, models: list, conds: list) -> None:
    model = applied(pack, models[0], concept(pack, models))
    wirings = (
        (model, {"positive": conds[1]}, "input 'model'"),
        (models[0], {"model": model, "label": "a"}, "Guidance Term 'a', input 'model'"),
    )
    for base, term, where in wirings:
        with pytest.raises(ValueError, match=f"{where}: this model carries guidance terms already"):
            pack.run("GCFG_Guider", model=base, conditioning=conds[0], terms=chain(pack, [term]), rescale=0.0)


def test_a_second_application_is_refused(pack: Any, models: list) -> None:
    terms = concept(pack, models)
    with pytest.raises(ValueError, match="Apply Guidance Terms, input 'model': it has guidance terms already"):
        applied(pack, applied(pack, models[0], terms), terms)


def test_another_guider_is_refused_by_name(pack: Any, models: list, conds: list) -> None:
    model = applied(pack, models[0], concept(pack, models))
    (basic,) = pack.run("BasicGuider", model=model, conditioning=conds[1])
    (dual,) = pack.run("DualCFGGuider", model=model, cond1=conds[1], cond2=conds[2], negative=conds[0],
                       cfg_conds=2.0, cfg_cond2_negative=2.0, style="regular")  # fmt: skip
    latent = micro_latent(0)["samples"]
    for guider in (basic, dual):
        with pytest.raises(ValueError, match=f"uses {type(guider).__name__}, .*GCFG Guider"):
            guider.sample(latent, latent, comfy.samplers.sampler_object("euler"), torch.tensor([9.0, 0.0]))


def test_sampling_past_the_guider_is_refused(pack: Any, models: list, conds: list) -> None:
    """As a sampler of another pack would that evaluates the conditions itself."""
    model = applied(pack, models[0], concept(pack, models))
    x = micro_latent(0)["samples"]
    with pytest.raises(ValueError, match="without ComfyUI's CFGGuider"):
        comfy.samplers.sampling_function(
            model.model, x, torch.tensor([1.0]), conds[0], conds[1], CFG, model.model_options
        )


@pytest.fixture
def own_function(models: list) -> Iterator[tuple[Any, list[int]]]:
    calls: list[int] = []

    def function(args: dict[str, Any]) -> Any:
        calls.append(len(args["conds"]))
        options = {**args["model_options"]}
        del options["sampler_calc_cond_batch_function"]
        return comfy.samplers.calc_cond_batch(args["model"], args["conds"], args["input"], args["sigma"], options)

    model = models[0].clone()
    model.set_model_sampler_calc_cond_batch_function(function)
    yield model, calls


def test_the_models_own_function_for_batches_stays(pack: Any, models: list, conds: list, own_function: Any) -> None:
    model, calls = own_function
    expected = ksampler(pack, applied(pack, models[0], concept(pack, models)), conds, micro_latent(0))
    got = ksampler(pack, applied(pack, model, concept(pack, models)), conds, micro_latent(0))
    assert calls and norm_error(got, expected) < 1e-6


def test_a_condition_that_a_term_shares_is_evaluated_once(pack: Any, models: list, conds: list) -> None:
    """The LoRA's push under the prompt: lora(prompt) - base(prompt), beside the prompt itself."""
    inputs = {"model": models[1], "positive": conds[-1], "reference": conds[-1], "weight": 2.0}
    model = applied(pack, models[0], chain(pack, [inputs]))
    with count_forwards(*models) as counter:
        ksampler(pack, model, conds, micro_latent(0))
    assert counter.chunks == 3 * STEPS
    longer = [*conds[:-1], [[conds[-1][0][0], {**conds[-1][0][1], "strength": 0.5}]]]
    with count_forwards(*models) as counter:
        ksampler(pack, model, longer, micro_latent(0))
    assert counter.chunks == 4 * STEPS


def test_a_term_of_weight_0_changes_nothing(pack: Any, models: list, conds: list) -> None:
    terms = concept(pack, models)
    other = tuple(dataclasses.replace(term, weight=0.0) for term in terms)
    plain = ksampler(pack, models[0], conds, micro_latent(0))
    assert torch.equal(ksampler(pack, applied(pack, models[0], other), conds, micro_latent(0)), plain)
    assert norm_error(ksampler(pack, applied(pack, models[0], terms), conds, micro_latent(0)), plain) > 1e-3
