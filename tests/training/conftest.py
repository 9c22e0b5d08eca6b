"""Tests of the trainer: they run in .venv-train, an environment without ComfyUI (`python dev.py test`)."""

import os

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
