"""Weight hooks (Create Hook LoRA) on a condition act on that condition's prediction, on whichever model it is made."""

from typing import Any

import comfy.model_management
import pytest
from torch import Tensor

from rigs.graphs import SIGMAS, gcfg, points, relative_error
from rigs.lora import lora_file, with_lora
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided
from rigs.variants import assert_same_state, state_of

LIMIT = 1e-5
pytestmark = pytest.mark.usefixtures("model_files")


def hooked(pack: Any, conditioning: list, model: Any, seed: int, keyframes: bool = False) -> list:
    """Conditioning with core's own Create Hook LoRA; with keyframes, its strength falls to 0 at half time."""
    name = lora_file(model, seed).name
    (hooks,) = pack.run("CreateHookLora", lora_name=name, strength_model=0.8, strength_clip=1.0)
    if keyframes:
        (frames,) = pack.run("CreateHookKeyframe", strength_mult=1.0, start_percent=0.0)
        (frames,) = pack.run("CreateHookKeyframe", strength_mult=0.0, start_percent=0.5, prev_hook_kf=frames)
        (hooks,) = pack.run("SetHookKeyframes", hooks=hooks, hook_kf=frames)
    inputs = {"cond_NEW": conditioning, "strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    return pack.run("ConditioningSetProperties", **inputs)[0]


def as_loaded(model: Any, seed: int, sigma: float, keyframes: bool = False) -> Any:
    """The model that ``hooked`` stands for at this sigma, its LoRA loaded as a node would."""
    strength = 0.0 if keyframes and sigma <= half_time(model) else 0.8
    return with_lora(model, seed, strength)


def half_time(model: Any) -> float:
    return model.get_model_object("model_sampling").percent_to_sigma(0.5)


HOOKED = ["base condition", "positive on the base", "other model", "variant", "everywhere"]


@pytest.mark.parametrize("keyframes", [False, True], ids=["constant", "keyframes"])
@pytest.mark.parametrize("where", HOOKED)
def test_weight_hooks_work_on_every_side(pack: Any, where: str, keyframes: bool) -> None:
    model, other = micro_model(0), micro_model(5)
    before = state_of(model)

    def hook(name: str, conditioning: list, seed: int) -> list:
        return hooked(pack, conditioning, model, seed, keyframes) if where in (name, "everywhere") else conditioning

    base = hook("base condition", micro_cond(0), 1)
    sides = [
        (None, hook("positive on the base", micro_cond(1), 2)),
        (other, hook("other model", micro_cond(2), 3)),
        (with_lora(model, 9), hook("variant", micro_cond(3), 3)),
    ]
    terms = [{"positive": cond, "weight": 2.0} | ({} if m is None else {"model": m}) for m, cond in sides]
    assert min(SIGMAS) < half_time(model) < sorted(SIGMAS)[1]
    ours = guided(gcfg(pack, model, base, *terms), points(), SIGMAS)

    expected = []
    for x, sigma in zip(points(), SIGMAS, strict=True):

        def ask(name: str, made: Any, cond: list, seed: int, x: Tensor = x, sigma: float = sigma) -> Tensor:
            made = as_loaded(made, seed, sigma, keyframes) if where in (name, "everywhere") else made
            return denoised(made, cond, x, sigma)

        zero = ask("base condition", micro_model(0), micro_cond(0), 1)
        total = zero + 2.0 * (ask("positive on the base", micro_model(0), micro_cond(1), 2) - zero)
        total = total + 2.0 * (ask("other model", micro_model(5), micro_cond(2), 3) - zero)
        expected.append(total + 2.0 * (ask("variant", with_lora(micro_model(0), 9), micro_cond(3), 3) - zero))
    error = relative_error(ours, expected)
    print(f"hooks on {where}: relative error {error:.1e}")
    assert error <= LIMIT
    comfy.model_management.unload_all_models()
    assert_same_state(model, before)


def test_one_hooked_condition_serves_two_models(pack: Any) -> None:
    """Keyframes step forward when one model is asked; the other must see its own steps."""
    model = micro_model(0)
    cond = hooked(pack, micro_cond(1), model, 2, keyframes=True)
    terms = [
        {"model": with_lora(model, 9), "positive": cond, "weight": 2.0},
        {"model": micro_model(5), "positive": cond, "weight": 1.0},
        {"positive": cond, "weight": -1.0},
    ]
    ours = guided(gcfg(pack, model, micro_cond(0), *terms), points(), SIGMAS)
    expected = []
    for x, sigma in zip(points(), SIGMAS, strict=True):
        zero = denoised(micro_model(0), micro_cond(0), x, sigma)
        total = zero
        for weight, made in ((2.0, with_lora(micro_model(0), 9)), (1.0, micro_model(5)), (-1.0, micro_model(0))):
            side = denoised(as_loaded(made, 2, sigma, keyframes=True), micro_cond(1), x, sigma)
            total = total + weight * (side - zero)
        expected.append(total)
    assert relative_error(ours, expected) <= LIMIT
