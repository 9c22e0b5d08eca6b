"""Put a real ComfyUI under the tests and load the pack into it as ComfyUI itself would."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rigs.host import cache_dir, enter_host

try:
    enter_host()
except FileNotFoundError as error:
    raise pytest.UsageError(str(error)) from None

import comfy.model_management
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher

from rigs.base_directory import PACK_AND_STAND_INS
from rigs.memory import Memory, peak
from rigs.pack import Pack, load_pack
from rigs.prompts import tiny_models
from rigs.server import ComfyServer

MOST_MEMORY = 3 << 30
"""In bytes, for this process."""

memory = Memory()
torch.set_grad_enabled(False)


def pytest_report_header() -> str:
    import comfyui_version

    return f"ComfyUI {comfyui_version.__version__} on {comfy.model_management.get_torch_device()}"


def pytest_collection_finish() -> None:
    """Exclude what the imports made from garbage collection: ComfyUI collects after every run."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    memory.settle()


def pytest_sessionfinish(session: pytest.Session) -> None:
    gc.unfreeze()
    print(f"\nmost memory: {peak() / 1e9:.2f} GB")
    if peak() > MOST_MEMORY:
        print(f"more than {MOST_MEMORY / 1e9:.2f} GB: find the test that takes it, or give it a process of its own")
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def pack() -> Pack:
    """The pack, loaded by ComfyUI's own loader; see rigs.pack.Pack."""
    return load_pack()


@pytest.fixture(scope="session")
def server() -> Iterator[ComfyServer]:
    """A running ComfyUI with this pack, stand-ins of other packs and tiny models, for all tests that need one."""
    with ComfyServer(PACK_AND_STAND_INS, tiny_models()) as running:
        yield running


@pytest.fixture(scope="session")
def load_concept(pack: Pack) -> Callable[..., ModelPatcher]:
    """The loader behind Load Concept Model: path, weight dtype -> model."""
    loader = pack.module("nodes.loading.concept_loader")
    return lambda path, weight_dtype="default": loader.load_model_file(str(path), weight_dtype)


@pytest.fixture
def describe(pack: Any) -> Any:
    """A prompt and a node id to what that node shows."""
    live, posted = pack.module("nodes.live.describe"), pack.module("nodes.live.posted")
    return lambda prompt, node_id: live.describe(posted.read_posted({"prompt": prompt, "nodes": [node_id]}), node_id)


@pytest.fixture
def model_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ComfyUI's loader nodes find what the rigs have built."""
    for folder in ("loras", "diffusion_models", "controlnet"):
        paths, extensions = folder_paths.folder_names_and_paths[folder]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, folder, ([*paths, str(cache_dir())], extensions))
    yield
    folder_paths.filename_list_cache.clear()


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    """ComfyUI samples under inference mode off and no_grad on; tests that need gradients enable them."""
    with torch.no_grad():
        yield
