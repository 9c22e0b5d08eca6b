"""ComfyUI's other guiders and guidance nodes as guidance graphs."""

from typing import Any

import nodes
import pytest
from torch import Tensor

from rigs.graphs import SIGMAS, cfg, gcfg, norm_error, points
from rigs.micro import micro_cond, micro_model
from rigs.probe import guided

C, D, U = (micro_cond(i) for i in (1, 4, 2))


@pytest.fixture(scope="module")
def model() -> Any:
    return micro_model(0)


def assert_close(ours: list[Tensor], core: list[Tensor], limit: float = 1e-6) -> None:
    assert max(map(norm_error, ours, core)) <= limit


def test_dual_cfg_regular(pack: Any, model: Any) -> None:
    """negative + cfg2 (middle - negative) + cfg1 (positive - middle)."""
    xs = points(batch=2)
    (core,) = pack.run("DualCFGGuider", model=model, cond1=C, cond2=D, negative=U,
                       cfg_conds=5.0, cfg_cond2_negative=2.5, style="regular")  # fmt: skip
    ours = gcfg(pack, model, U, {"positive": D, "weight": 2.5},
                {"positive": C, "reference": D, "weight": 5.0})  # fmt: skip
    assert_close(guided(ours, xs, SIGMAS), guided(core, xs, SIGMAS))


def test_dual_cfg_nested(pack: Any, model: Any) -> None:
    """negative + cfg2 (middle + cfg1 (positive - middle) - negative): the outer scale multiplies the inner one."""
    xs = points(batch=2)
    (core,) = pack.run("DualCFGGuider", model=model, cond1=C, cond2=D, negative=U,
                       cfg_conds=5.0, cfg_cond2_negative=2.5, style="nested")  # fmt: skip
    ours = gcfg(pack, model, U, {"positive": D, "weight": 2.5},
                {"positive": C, "reference": D, "weight": 2.5 * 5.0})  # fmt: skip
    assert_close(guided(ours, xs, SIGMAS), guided(core, xs, SIGMAS))


@pytest.mark.parametrize(("scale", "negative_scale"), [(8.0, 1.0), (3.0, 0.4), (1.0, 2.0)])
def test_perp_neg(pack: Any, model: Any, scale: float, negative_scale: float) -> None:
    """empty + cfg (positive - empty) - cfg * neg_scale * the perpendicular part of (negative - empty)."""
    xs = points()
    (core,) = pack.run("PerpNegGuider", model=model, positive=C, negative=U,
                       empty_conditioning=D, cfg=scale, neg_scale=negative_scale)  # fmt: skip
    ours = gcfg(pack, model, D, {"positive": C, "weight": scale},
                {"positive": U, "weight": -scale * negative_scale,
                 "modify": {"projection": "primary term"}})  # fmt: skip
    assert_close(guided(ours, xs, SIGMAS), guided(core, xs, SIGMAS))


@pytest.mark.parametrize(("eta", "cap"), [(0.0, 0.0), (0.0, 5.0), (-0.5, 2.0), (1.0, 3.0)])
def test_apg_node(pack: Any, model: Any, eta: float, cap: float) -> None:
    """Core's APG node (momentum 0): positive + cfg * project(cap(positive - negative))."""
    xs = points(batch=2)
    (patched,) = pack.run("APG", model=model, eta=eta, norm_threshold=cap, momentum=0.0)
    core = guided(cfg(patched, C, U, 4.0), xs, SIGMAS)
    term = {"reference": U, "weight": 4.0,
            "modify": {"projection": "own positive", "parallel": eta, "norm_cap": cap}}  # fmt: skip
    assert_close(guided(gcfg(pack, model, C, term), xs, SIGMAS), core, 2e-6)


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_rescale_cfg_node(pack: Any, model: Any, share: float) -> None:
    xs = points(batch=2)
    (patched,) = pack.run("RescaleCFG", model=model, multiplier=share)
    core = guided(cfg(patched, C, U, 6.0), xs, SIGMAS)
    ours = guided(gcfg(pack, model, U, {"positive": C, "weight": 6.0}, rescale=share), xs, SIGMAS)
    assert_close(ours, core, 1e-5)  # the way to v and back loses some bits on both sides


def test_dual_model_guider(pack: Any, model: Any) -> None:
    """negative on one model, positive on another: base = the negative's model, one term with the other's."""
    if "DualModelGuider" not in nodes.NODE_CLASS_MAPPINGS:
        pytest.skip("this ComfyUI has no DualModelGuider")
    other, xs = micro_model(6), points(batch=2)
    (core,) = pack.run("DualModelGuider", model=model, model_negative=other, positive=C, negative=U,
                       cfg=4.0)  # fmt: skip
    ours = gcfg(pack, other, U, {"model": model, "positive": C, "weight": 4.0})
    assert_close(guided(ours, xs, SIGMAS), guided(core, xs, SIGMAS))


def test_autoguidance(pack: Any, model: Any) -> None:
    """bad + w (good - bad) with the good model as base: weight w - 1 on (good - bad)."""
    bad, xs = micro_model(8), points()
    ours = gcfg(pack, model, C, {"reference_model": bad, "weight": 1.5})
    d_good = guided(cfg(model, C, C, 1.0), xs, SIGMAS)
    d_bad = guided(cfg(bad, C, C, 1.0), xs, SIGMAS)
    assert_close(guided(ours, xs, SIGMAS), [b + 2.5 * (g - b) for g, b in zip(d_good, d_bad, strict=True)])
