"""Patches that take a batch for one (cond, uncond) pair, as ComfyUI's own calls give it (P3, P5)."""

from collections.abc import Callable, Sequence
from typing import Any

import nodes
import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.micro import DEEP, micro_cond, micro_model
from rigs.pair_patches import PAIR_PATCHES, hooked, pair_patched
from rigs.probe import guided

LIMIT = 1e-5
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))
WEIGHTS = (3.0, 1.7, -0.6)


def seeded(ask: Callable, k: int) -> Callable:
    """Every call from the same random state: some patches draw."""

    def asked(x: Tensor, sigma: Tensor) -> Tensor:
        torch.manual_seed(k)
        return ask(x, sigma)

    return asked


def alone(pack: Any, model: Any, cond: list, xs: Sequence[Tensor]) -> list[Tensor]:
    return guided(gcfg(pack, model, cond), xs, SIGMAS, seeded)


def core_pair(model: Any, cond: list, uncond: list, xs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(D(cond), D(uncond)) as CFGGuider evaluates them together."""
    seen: list[tuple[Tensor, Tensor]] = []
    clone = model.clone()

    def note(args: dict[str, Any]) -> Tensor:
        seen.append((args["cond_denoised"].cpu(), args["uncond_denoised"].cpu()))
        return args["denoised"]

    clone.set_model_sampler_post_cfg_function(note)
    guided(cfg(clone, cond, uncond, 3.0), xs, SIGMAS, seeded)
    return seen


def check(pack: Any, fresh: Callable[[], Any], conds: Sequence[list], uncond: list, xs: list[Tensor]) -> list[Tensor]:
    """D = u + sum w (c_i - u), the first pair as CFGGuider gives it, every other prediction as evaluated alone."""
    pair = core_pair(fresh(), conds[0], uncond, xs)
    others = [alone(pack, fresh(), cond, xs) for cond in conds[1:]]
    expected = []
    for k, (c, u) in enumerate(pair):
        added = sum(w * (other[k] - u) for w, other in zip(WEIGHTS[1:], others, strict=True))
        expected.append(u + WEIGHTS[0] * (c - u) + added)
    terms = [{"positive": cond, "weight": weight} for cond, weight in zip(conds, WEIGHTS, strict=True)]
    # the primary term is the first, wherever it stands among those that compare two prompts
    terms.insert(0, {"positive": conds[1], "reference": conds[2], "weight": 0.0})
    assert relative_error(guided(gcfg(pack, fresh(), uncond, *terms), xs, SIGMAS, seeded), expected) <= LIMIT
    one = guided(gcfg(pack, fresh(), uncond, {"positive": conds[0], "weight": 3.0}), xs, SIGMAS, seeded)
    core = guided(cfg(fresh(), conds[0], uncond, 3.0), xs, SIGMAS, seeded)
    assert all(map(torch.equal, one, core))
    return core


@pytest.mark.parametrize("name", PAIR_PATCHES)
def test_the_pair_is_cfg_guiders_and_every_other_prediction_its_own(pack: Any, name: str) -> None:
    core = check(pack, lambda: pair_patched(micro_model(0), name), (C, D, E), U, points(batch=2))
    plain = guided(cfg(micro_model(0), C, U, 3.0), points(batch=2), SIGMAS)
    assert relative_error(core, plain) > 1e-3, "the patch does nothing, so this shows nothing"


def test_a_patch_that_a_conditions_hook_brings(pack: Any) -> None:
    def both(one: list, other: list) -> list[list]:
        """Two prompts with one hook, which ComfyUI would put in one batch."""
        group = hooked(one)[0][1]["hooks"]
        return [[[cond[0][0], {**cond[0][1], "hooks": group}]] for cond in (one, other)]

    xs, (c, d) = points(), both(C, D)
    base = micro_model(0)
    terms = [{"positive": c, "weight": 3.0}, {"positive": d, "weight": 1.7}]
    ours = guided(gcfg(pack, base, U, *terms), xs, SIGMAS)
    zero, one, other = (alone(pack, micro_model(0), cond, xs) for cond in (U, c, d))
    expected = [u + 3.0 * (p - u) + 1.7 * (q - u) for u, p, q in zip(zero, one, other, strict=True)]
    assert relative_error(ours, expected) <= LIMIT
    assert relative_error(one, alone(pack, micro_model(0), C, xs)) > 1e-3


@pytest.mark.parametrize("kind", ["another file", "a clone of the base"])
def test_on_a_terms_model_its_own_pair_is_evaluated_together(pack: Any, kind: str) -> None:
    base, seed = micro_model(0), 5 if kind == "another file" else 0
    other = pair_patched(base if seed == 0 else micro_model(5), "attn1 patch")
    own = {"model": other, "reference_model": other}
    terms = [
        {"model": other, "positive": E, "weight": 0.5},
        {**own, "positive": C, "reference": D, "weight": 2.0},
    ]
    xs = points(batch=2)
    ours = guided(gcfg(pack, base, U, *terms), xs, SIGMAS)
    fresh = pair_patched(micro_model(seed), "attn1 patch")
    zero, e, pair = alone(pack, micro_model(0), U, xs), alone(pack, fresh, E, xs), core_pair(fresh, C, D, xs)
    expected = [u + 0.5 * (p - u) + 2.0 * (c - d) for u, p, (c, d) in zip(zero, e, pair, strict=True)]
    assert relative_error(ours, expected) <= LIMIT


CORE_PATCHES = {
    "FreeU": {},
    "FreeU_V2": {},
    "HyperTile": {"tile_size": 32, "swap_size": 1, "max_depth": 0},
    "NAGuidance": {},
    "PatchModelAddDownscale": {"start_percent": 0.0, "end_percent": 1.0},
    "ScaleROPE": {},
    "TomePatchModel": {"ratio": 0.5},
}
PAIRED_IN_CORE = {"NAGuidance"}
ELSEWHERE = {"EasyCache", "FluxKVCache", "SelfAttentionGuidance", "TorchCompileModel"}
"""The first and the third are in test_wrappers.py and test_hooks.py; FluxKVCache wants a network of Flux's; the last
changes no numbers."""


@pytest.mark.parametrize("name", CORE_PATCHES)
def test_every_patch_of_core(pack: Any, name: str) -> None:
    """One forward for all but those that core itself made for a pair."""
    if name not in nodes.NODE_CLASS_MAPPINGS:
        pytest.skip(f"this ComfyUI has no {name}")
    model = micro_model(0, unet=DEEP)

    def fresh() -> Any:
        return pack.run(name, model=model, **CORE_PATCHES[name])[0]

    uncond, *conds = (micro_cond(i) for i in range(4))
    check(pack, fresh, conds, uncond, points(size=16))
    terms = [{"positive": cond, "weight": 1.0} for cond in conds]
    terms[0]["weight"] = 2.0
    with count_forwards(model) as count:
        guided(gcfg(pack, fresh(), uncond, *terms), points(size=16), SIGMAS)
    assert count.forwards == (3 if name in PAIRED_IN_CORE else 1) * len(SIGMAS)


def test_no_patch_of_core_is_left_out(pack: Any) -> None:
    """Every node from MODEL to MODEL that puts something inside a forward, run with its defaults."""
    model, found = micro_model(0, unet=DEEP), set()
    inside = pack.module("nodes.other_packs.foreign_patches")
    before = len(list(inside._in_a_forward(model, model.model_options, [])))
    for name, cls in nodes.NODE_CLASS_MAPPINGS.items():
        if name.startswith("GCFG") or not cls.RETURN_TYPES or cls.RETURN_TYPES[0] != "MODEL":
            continue
        inputs = [key for key, spec in cls.INPUT_TYPES().get("required", {}).items() if spec[0] == "MODEL"]
        try:
            (patched, *_) = pack.run(name, **{inputs[0]: model.clone()}) if len(inputs) == 1 else (model,)
        except (TypeError, AttributeError):
            continue  # it asks for files, or for another kind of model
        wrapped = any(patched.get_all_wrappers(kind) for kind in inside._WRAPPERS)
        if wrapped or len(list(inside._in_a_forward(patched, patched.model_options, []))) > before:
            found.add(name)
    assert found <= set(CORE_PATCHES) | ELSEWHERE
    assert {"FreeU", "HyperTile", "SelfAttentionGuidance", "EasyCache"} <= found


def test_attention_kernels_of_other_packs_take_every_batch(pack: Any) -> None:
    """Sage attention and the like stand for ComfyUI's attention function: they keep predictions in one forward."""
    model = micro_model(0).clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = lambda function, *args, **kwargs: (
        function(*args, **kwargs)
    )
    terms = [{"positive": cond, "weight": weight} for cond, weight in zip((C, D, E), WEIGHTS, strict=True)]
    with count_forwards(model) as count:
        guided(gcfg(pack, model, U, *terms), points(), SIGMAS)
    assert count.forwards == len(SIGMAS)


@pytest.mark.parametrize("terms", [(C, D, E), (E, C)])
def test_a_batch_stands_in_core_s_order(pack: Any, terms: Sequence[list]) -> None:
    """P5: first all predictions with role 1, then all with role 0, as in core's pair."""
    model = micro_model(0)
    graph = [{"positive": D, "reference": micro_cond(9), "weight": 0.5}]
    graph += [{"positive": cond, "weight": 1.5} for cond in terms]
    with count_forwards(model) as count:
        guided(gcfg(pack, model, U, *graph), points(), SIGMAS)
    batches = count.of(model).batches
    assert len(batches) == len(SIGMAS)
    assert all(batch == sorted(batch, reverse=True) and batch.count(1) == 2 for batch in batches)
