"""The table of optimizers: the setting offers what it holds, and no other name builds any."""

import dataclasses
from typing import get_args

import pytest

from gcfg_core.errors import InputError
from training.optimizers import NEEDS, OPTIMIZERS, Optimizer, OptimizerConfig, StateLayout, optimizer_of
from training.settings.read import run_config


def test_the_setting_offers_the_table() -> None:
    assert get_args(OptimizerConfig.model_fields["optimizer"].annotation) == tuple(OPTIMIZERS)
    assert NEEDS == "adamw8bit needs bitsandbytes"


@pytest.mark.parametrize("name", ["adam", "AdamW", "lion", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected adamw or adamw8bit, got"):
        optimizer_of(name)
    with pytest.raises(InputError, match="adamw"):
        run_config({"base": "b", "output": "o", "data": {"images": "i"}, "optimizer": {"optimizer": name}})


@pytest.mark.parametrize("kind", [Optimizer, StateLayout])
def test_an_entry_answers_every_question(kind: type) -> None:
    assert all(field.default is dataclasses.MISSING for field in dataclasses.fields(kind))
    with pytest.raises(TypeError):
        kind()
