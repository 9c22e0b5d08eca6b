"""A simulated second device on a machine that has only a CPU: tensors remember their device, and operations check
it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import comfy.model_management
import comfy.samplers
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.overrides import TorchFunctionMode

HOME, AWAY = torch.device("cpu"), torch.device("cpu", 0)
MIXING = (Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__, torch._has_compatible_shallow_copy_type)
"""Operations that may mix tensors of two devices: copies, indices, and moving a parameter."""


class Places(TorchFunctionMode):
    """While entered, torch.device("cpu", 0) is another device than "cpu".

    Tensors are on "cpu" unless they were made or moved to the second device, or belong to a model that `move` put
    there. Operations on tensors of both devices raise RuntimeError, as between a CPU and a GPU; scalars may be
    anywhere.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func == Tensor.device.__get__:
            return place_of(args[0])
        if func == Tensor.data.__set__:
            args[0].place = place_of(args[1])
            return func(*args, **kwargs)
        given = list(_tensors([*args, *kwargs.values()]))
        target = _target(func, args, kwargs)
        places = {place_of(one) for one in given if one.dim()}
        if target is None and len(places) > 1 and func not in MIXING:
            raise RuntimeError(f"{func.__name__}: tensors on {' and '.join(map(str, places))}")
        out = func(*args, **kwargs)
        place = target or (place_of(given[0]) if given else HOME)
        if any(out is one and place_of(one) != place for one in given):
            out = out.view_as(out)
        for one in _tensors([out]):
            one.place = place
        return out


@contextlib.contextmanager
def second_device() -> Iterator[None]:
    """Enter `Places`, also in the threads in which ComfyUI spreads a model's conditions; ComfyUI sees both devices."""
    with pytest.MonkeyPatch.context() as patch, Places():
        patch.setattr(Tensor, "_make_subclass", staticmethod(_parameter_in_place(Tensor._make_subclass)))
        if hasattr(comfy.model_management, "get_all_torch_devices"):
            patch.setattr(comfy.model_management, "get_all_torch_devices", lambda exclude_current=False: [HOME, AWAY])
        if hasattr(comfy, "multigpu"):
            patch.setattr(comfy.multigpu.MultiGPUThreadPool, "_worker_loop", _with_places(comfy.multigpu))
        yield


def _parameter_in_place(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Give a new parameter its tensor's device; torch makes parameters without consulting modes."""

    def made(kind: type, data: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        parameter = make(kind, data, *args, **kwargs)
        parameter.place = place_of(data)
        return parameter

    return made


def _with_places(multigpu: Any) -> Callable[..., None]:
    work = multigpu.MultiGPUThreadPool._worker_loop

    def looking(*args: Any) -> None:
        with Places():
            work(*args)

    return looking


def move(model: ModelPatcher) -> None:
    """Put a model that is not loaded yet on the second device."""
    model.load_device = AWAY
    for tensor in (*model.model.parameters(), *model.model.buffers()):
        tensor.place = AWAY


def place_of(tensor: Tensor) -> torch.device:
    return tensor.__dict__.get("place", HOME)


def _target(func: Any, args: tuple, kwargs: dict[str, Any]) -> torch.device | None:
    """Return the device argument of an operation, if it has one."""
    if func is Tensor.cpu:
        return HOME
    if func is Tensor.to and "device" not in kwargs:
        devices = (place_of(one) if isinstance(one, Tensor) else one for one in args[1:])
        return next((torch.device(one) for one in devices if isinstance(one, (torch.device, str))), None)
    return None if kwargs.get("device") is None else torch.device(kwargs["device"])


def _tensors(values: Any) -> Iterator[Tensor]:
    for one in values:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, (tuple, list)):
            yield from _tensors(one)
