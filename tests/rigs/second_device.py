"""A second device on a machine that has one: CPU tensors that remember where they are, and operations that look."""

from collections.abc import Iterator
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.overrides import TorchFunctionMode

HOME, AWAY = torch.device("cpu"), torch.device("cpu", 0)
MIXING = (Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__)
"""What may have tensors of two devices: copies, and indices."""


class SecondDevice(TorchFunctionMode):
    """While it is entered, torch.device("cpu", 0) is another device than "cpu".

    Tensors are at home unless they were made or moved there, or belong to a model that `move` put there. Operations on
    tensors of both devices raise RuntimeError, as between a CPU and a GPU; scalars may be anywhere.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func == Tensor.device.__get__:
            return place_of(args[0])
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


def move(model: ModelPatcher) -> None:
    """Put a model, which is not loaded yet, on the second device."""
    model.load_device = AWAY
    for tensor in (*model.model.parameters(), *model.model.buffers()):
        tensor.place = AWAY


def place_of(tensor: Tensor) -> torch.device:
    return tensor.__dict__.get("place", HOME)


def _target(func: Any, args: tuple, kwargs: dict[str, Any]) -> torch.device | None:
    """The device that an operation is told to put its result on."""
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
