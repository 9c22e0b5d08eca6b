"""What patches of other packs keep between calls belongs to one prediction, or the graph is refused (P6, P8, P9)."""

from collections.abc import Callable
from typing import Any

import comfy.hooks
import comfy.model_management
import pytest
import torch
from torch import Tensor

from rigs.controlnet import micro_controlnet
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_model
from rigs.multigpu import Loader, away, needs_multigpu, split
from rigs.probe import guided
from rigs.second_device import second_device

LIMIT = 1e-5
C, D, E, U, F = (micro_cond(i) for i in (1, 2, 3, 4, 5))


def cached(model: Any) -> Any:
    """A cache on the network that knows a condition by its role: after the first call, what that call gave."""
    clone = model.clone()

    def wrapper(apply_model: Callable, arguments: dict[str, Any]) -> Tensor:
        roles, network = arguments["cond_or_uncond"], apply_model.__self__.diffusion_model
        if not hasattr(network, "kept"):
            network.kept = {}
        if not all(role in network.kept for role in roles):
            out = apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
            network.kept.update(zip(roles, out.chunk(len(roles)), strict=True))
        return torch.cat([network.kept[role] for role in roles])

    clone.set_model_unet_function_wrapper(wrapper)
    return clone


@pytest.mark.parametrize(("terms", "is_named"), [
    ([{"positive": C}], False),
    ([{"positive": C}, {"positive": D}], True),
    ([{"positive": C}, {"model": "clone", "positive": D}], True),
    ([{"positive": C}, {"model": "other", "positive": D}], False),
    ([{"positive": C}, {"model": "other cached", "positive": D}], True),
], ids=["the pair", "a second prompt", "a clone that carries it too", "another network", "another too"])  # fmt: skip
def test_what_may_keep_predictions_elsewhere_is_named(
    pack: Any, terms: list[dict[str, Any]], is_named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """P8: a cache in a closure or a module cannot be kept apart; the log names it and the predictions beforehand."""
    model = cached(micro_model(0))
    models = {"clone": with_lora(model, 1), "other": micro_model(5)}
    models["other cached"] = cached(micro_model(5))
    wired = [term | ({"model": models[term["model"]]} if "model" in term else {}) for term in terms]
    with caplog.at_level("WARNING"):
        gcfg(pack, model, U, *wired)
    lines = [line for line in caplog.messages if "around the forwards" in line]
    assert len(lines) == is_named
    assert all(__name__ in line and "base(null)" in line and "(c2)" in line for line in lines)


def test_what_a_patch_deletes_from_the_network_is_there_again(pack: Any) -> None:
    """P8: for the other predictions while the run goes on, and for all when it ends."""
    model = micro_model(0)
    network, missing = model.model.diffusion_model, []
    network.needed = kept = object()

    def wrapper(apply_model: Callable, arguments: dict[str, Any]) -> Tensor:
        missing.append(not hasattr(network, "needed"))
        vars(network).pop("needed", None)
        return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

    model.set_model_unet_function_wrapper(wrapper)
    guided(gcfg(pack, model, U, {"positive": C, "weight": 3.0}, {"positive": D, "weight": 1.7}), points(), SIGMAS)
    assert missing == [False, False, *[True] * (len(missing) - 2)]  # the pair's first call, the other prediction's
    assert network.needed is kept


def only(pack: Any, model: Any, cond: list) -> list[Tensor]:
    """The predictions of one condition alone."""
    return guided(gcfg(pack, model, cond), points(), SIGMAS)


def test_a_cache_on_the_network_gives_no_prompt_what_another_has_left_there(pack: Any) -> None:
    """P8: one cache for the pair, which it is made for, and one for every other prediction."""
    model = cached(micro_model(0))
    terms = [{"positive": C, "weight": 3.0}, {"positive": D, "weight": 1.7}, {"positive": E, "weight": -0.6}]
    ours = guided(gcfg(pack, model, U, *terms), points(), SIGMAS)
    assert not hasattr(model.model.diffusion_model, "kept")
    pair = guided(cfg(cached(micro_model(0)), C, U, 3.0), points(), SIGMAS)
    zero, d, e = (only(pack, cached(micro_model(0)), cond) for cond in (U, D, E))
    expected = [p + 1.7 * (q - u) - 0.6 * (r - u) for p, u, q, r in zip(pair, zero, d, e, strict=True)]
    assert relative_error(ours, expected) <= LIMIT
    assert relative_error(d, only(pack, micro_model(0), D)) > 1e-2, "nothing is reused, so this shows nothing"


def test_a_clone_of_the_base_has_a_cache_of_its_own(pack: Any) -> None:
    """P8: two clones that share one network and one cache, as a LoRA behind a cache makes them."""
    base = cached(micro_model(0))
    other = base.clone()
    other.model_options["transformer_options"]["mark"] = "not the base"
    terms = [{"positive": C, "weight": 3.0}, {"model": other, "positive": D, "weight": 1.7}]
    ours = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
    pair = guided(cfg(cached(micro_model(0)), C, U, 3.0), points(), SIGMAS)
    zero, d = (only(pack, cached(micro_model(0)), cond) for cond in (U, D))
    expected = [p + 1.7 * (q - u) for p, u, q in zip(pair, zero, d, strict=True)]
    assert relative_error(ours, expected) <= LIMIT


@needs_multigpu
@pytest.mark.parametrize("where", ["base", "term"])
def test_a_cache_on_a_further_device_is_kept_apart_too(pack: Any, where: str) -> None:
    """P8: a prompt of two parts is spread over the networks of MultiGPU CFG Split, each with a cache of its own."""

    def fresh() -> Any:
        return split(pack, cached(Loader().load(5)))

    with second_device():
        model, parts = fresh(), [D + E, F + C]
        networks = [one.model.diffusion_model for one in (model, away(model))]
        networks[1].needed = kept = object()
        terms = [{"model": model, "positive": cond, "weight": 1.7 - k} for k, cond in enumerate(parts)]
        base = model if where == "base" else micro_model(0)
        ours = guided(gcfg(pack, base, U, {"positive": C, "weight": 3.0}, *terms), points(), SIGMAS)
        again = fresh if where == "base" else micro_model
        pair, zero = guided(cfg(again(), C, U, 3.0), points(), SIGMAS), only(pack, again(), U)
        one, other = (only(pack, fresh(), cond) for cond in parts)
        expected = [p + 1.7 * (q - u) + 0.7 * (r - u) for p, u, q, r in zip(pair, zero, one, other, strict=True)]
        assert relative_error(ours, expected) <= LIMIT
        assert not any(hasattr(network, "kept") for network in networks) and networks[1].needed is kept
        comfy.model_management.unload_all_models()


class Forgetful(comfy.hooks.TransformerOptionsHook):
    """A hook whose clone, as ComfyUI's own method makes it, lacks what the hook was given."""

    def __init__(self) -> None:
        super().__init__(hook_scope=comfy.hooks.EnumHookScope.HookedOnly)
        self.transformers_dict = {"patches": {"attn2_output_patch": [lambda out, extra: extra["scale"] * out]}}

    def on_apply_hooks(self, model: Any, transformer_options: dict[str, Any]) -> None:
        self.transformers_dict["scale"] = self.scale
        super().on_apply_hooks(model, transformer_options)


def forgetful(cond: list, scale: float) -> list:
    hook, group = Forgetful(), comfy.hooks.HookGroup()
    hook.scale = scale
    group.add(hook)
    return [[cond[0][0], {**cond[0][1], "hooks": group}]]


def test_a_hook_on_a_terms_model_keeps_all_its_attributes(pack: Any) -> None:
    """P6: also where the base uses the very same hook."""
    cond = forgetful(D, 0.3)
    terms = [{"positive": cond, "weight": 2.0}, {"model": micro_model(5), "positive": cond, "weight": 1.5}]
    ours = guided(gcfg(pack, micro_model(0), U, *terms), points(), SIGMAS)
    zero, one, other = (only(pack, micro_model(seed), at) for seed, at in ((0, U), (0, cond), (5, cond)))
    expected = [u + 2.0 * (p - u) + 1.5 * (q - u) for u, p, q in zip(zero, one, other, strict=True)]
    assert relative_error(ours, expected) <= LIMIT
    assert relative_error(other, only(pack, micro_model(5), D)) > 1e-3


@pytest.mark.parametrize("where", ["base", "term"])
def test_tiling_of_some_models_beside_a_controlnet_is_refused_by_name(pack: Any, where: str) -> None:
    """P9: Tiled Diffusion takes over the ControlNets of a whole run."""
    base, other = micro_model(0).clone(), micro_model(5).clone()
    (base if where == "base" else other).model_options["tiled_diffusion"] = True
    controlled = [[D[0][0], {"control": object()}]]
    term = {"model": other, "positive": controlled, "label": "sharp"}
    with pytest.raises(ValueError, match="Tiled Diffusion is on .*(base.*sharp|sharp.*base)"):
        gcfg(pack, base, U, term)
    gcfg(pack, base, U, {**term, "positive": D})
    base.model_options["tiled_diffusion"] = other.model_options["tiled_diffusion"] = True
    gcfg(pack, base, U, term)


class Tiling:
    """Stands for what Tiled Diffusion puts around the forwards."""

    def __call__(self, apply_model: Callable, arguments: dict[str, Any]) -> Tensor:
        return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])


class SpotDiffusion(Tiling):
    """The method that cuts a ControlNet's own hint at every call."""


def tiled(model: Any, tiling: Tiling) -> Any:
    clone = model.clone()
    clone.set_model_unet_function_wrapper(tiling)
    clone.model_options["tiled_diffusion"] = True
    return clone


def controlled(cond: list, control: Any) -> list:
    return [[cond[0][0], {"control": control}]]


@pytest.mark.parametrize("where", ["one model", "a clone behind the same node"])
def test_two_controlnets_behind_one_tiling_are_refused_by_name(pack: Any, where: str) -> None:
    """P9: Tiled Diffusion keeps a hint by shape and role, so the prompts would take turns with one picture."""
    model = tiled(micro_model(0), Tiling())
    second = {"positive": controlled(D, micro_controlnet(1))}
    if where != "one model":
        lora = with_lora(model, 1)
        lora.model_options["model_function_wrapper"] = model.model_options["model_function_wrapper"]
        second |= {"model": lora}
    names = r"on base would give base\(c1\)" if where == "one model" else r"on base and model2 would give base\(c1\)"
    with pytest.raises(ValueError, match=f"Tiled Diffusion {names} and .* a Tiled Diffusion node of its own"):
        gcfg(pack, model, U, {"positive": controlled(C, micro_controlnet(0))}, second)


def test_controlnets_that_tiling_tells_apart_are_not_refused(pack: Any) -> None:
    """P9: one for both prompts, one each for the base and the prompt, another method, another node."""
    base, (one, other) = micro_model(0), map(micro_controlnet, (0, 1))
    model, first = tiled(base, Tiling()), {"positive": controlled(C, one)}
    second = {"positive": controlled(D, other)}
    gcfg(pack, model, U, first, {"positive": controlled(D, one)})
    gcfg(pack, model, controlled(U, other), first)
    gcfg(pack, tiled(base, SpotDiffusion()), U, first, second)
    gcfg(pack, model, U, first, {**second, "model": tiled(base, Tiling())})
