"""Tests of the trainer: they run in .venv-train, an environment without ComfyUI (`python dev.py test`)."""

import gc
import os

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)  # as the processes that tests start: sums over more threads end in other bits


def pytest_collection_finish() -> None:
    """Exclude what the imports made from garbage collection: accelerate collects after every run."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
