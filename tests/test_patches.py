"""Patches inside a forward act on the model that they were put on, and find there what they look for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rigs.graphs import SIGMAS, gcfg, points, relative_error
from rigs.micro import DEEP, micro_cond, micro_model
from rigs.probe import denoised, guided

LIMIT = 1e-5
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))


def free_u(pack: Any, model: Any) -> Any:
    return pack.run("FreeU_V2", model=model)[0]


def hyper_tile(pack: Any, model: Any) -> Any:
    return pack.run("HyperTile", model=model, tile_size=32, swap_size=1, max_depth=0)[0]


def tome(pack: Any, model: Any) -> Any:
    return pack.run("TomePatchModel", model=model, ratio=0.5)[0]


@pytest.mark.parametrize("where", ["base", "term", "variant"])
@pytest.mark.parametrize("patch", [free_u, hyper_tile, tome], ids=lambda patch: patch.__name__)
def test_patches_of_core_nodes_act_there_and_only_there(pack: Any, patch: Callable, where: str) -> None:
    conds = [micro_cond(i) for i in range(2)]
    x, sigma = points((3.0,), size=16), (3.0,)
    base, other = micro_model(0, unet=DEEP), micro_model(5, unet=DEEP)
    base = patch(pack, base) if where == "base" else base
    other = patch(pack, base) if where == "variant" else patch(pack, other) if where == "term" else other
    torch.manual_seed(0)
    ours = guided(gcfg(pack, base, conds[0], {"model": other, "positive": conds[1], "weight": 2.0}), x, sigma)
    torch.manual_seed(0)
    zero, side = denoised(base, conds[0], x[0], 3.0), denoised(other, conds[1], x[0], 3.0)
    assert relative_error(ours, [zero + (side - zero) * 2.0]) <= LIMIT
    bare = {"base": micro_model(0, unet=DEEP), "term": micro_model(5, unet=DEEP), "variant": base}[where]
    patched, cond = (base, conds[0]) if where == "base" else (other, conds[1])
    assert relative_error([denoised(patched, cond, x[0], 3.0)], [denoised(bare, cond, x[0], 3.0)]) > 1e-4


def attn2_by_role(model: Any, pair: tuple[float, float]) -> Any:
    """As IPAdapter does: a pair of embeddings, picked by cond_or_uncond."""
    clone = model.clone()

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> tuple:
        roles = extra["cond_or_uncond"]
        added = [pair[role] * torch.ones_like(part) for role, part in zip(roles, v.chunk(len(roles)), strict=True)]
        return q, k, v + torch.cat(added)

    clone.set_model_attn2_patch(patch)
    return clone


@pytest.mark.parametrize("where", ["base", "term", "variant"])
def test_patches_that_index_a_pair_find_cond_or_uncond(pack: Any, where: str) -> None:
    pair = (0.6, -0.9)
    model, foreign = micro_model(0), micro_model(5)
    other = model if where == "variant" else foreign
    made = {"base": model if where != "base" else attn2_by_role(model, pair)}
    made["other"] = other if where == "base" else attn2_by_role(other, pair)
    terms = [
        {"positive": C, "weight": 3.0},
        {"positive": D, "weight": -1.0},
        {"model": made["other"], "positive": E, "reference_model": made["other"], "reference": U, "weight": 2.0},
        {"model": made["other"], "positive": C, "reference_model": made["other"], "reference": D, "weight": 0.5},
    ]
    ours = guided(gcfg(pack, made["base"], U, *terms), points(batch=2), SIGMAS)

    def ask(name: str, cond: list, role: int, x: Tensor, sigma: float) -> Tensor:
        fresh = micro_model(0) if name == "base" or where == "variant" else micro_model(5)
        patched = name == "base" if where == "base" else name == "other"
        return denoised(attn2_by_role(fresh, (pair[role],) * 2) if patched else fresh, cond, x, sigma)

    expected = []
    for x, s in zip(points(batch=2), SIGMAS, strict=True):
        zero = ask("base", U, 1, x, s)
        total = zero + 3.0 * (ask("base", C, 0, x, s) - zero) - (ask("base", D, 0, x, s) - zero)
        total = total + 2.0 * (ask("other", E, 0, x, s) - ask("other", U, 1, x, s))
        expected.append(total + 0.5 * (ask("other", C, 0, x, s) - ask("other", D, 1, x, s)))
    assert relative_error(ours, expected) <= LIMIT


def test_function_wrapper_of_the_model_still_runs_and_sees_roles(pack: Any) -> None:
    seen, model = [], micro_model(0)

    def wrapper(apply_model: Callable, arguments: dict[str, Any]) -> Tensor:
        seen.append((arguments["cond_or_uncond"], arguments["c"]["transformer_options"]["cond_or_uncond"]))
        return 0.5 * apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

    model.set_model_unet_function_wrapper(wrapper)
    terms = [{"positive": cond, "weight": 1.5} for cond in (C, D, E)]
    ours = guided(gcfg(pack, model, U, *terms), points(), SIGMAS)
    expected = []
    for x, s in zip(points(), SIGMAS, strict=True):
        zero = 0.5 * denoised(micro_model(0), U, x, s)
        sides = [0.5 * denoised(micro_model(0), cond, x, s) for cond in (C, D, E)]
        expected.append(zero + sum(1.5 * (side - zero) for side in sides))
    assert relative_error(ours, expected) <= LIMIT
    assert all(one == other for one, other in seen)
    assert [one for one, _ in seen] == [[1, 0], [0], [0]] * len(SIGMAS)
