"""What the Comfy Registry gives to people: the archive's files make the whole pack, in a real ComfyUI server."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rigs.archive import archive_files, unpack
from rigs.host import ROOT
from rigs.pack import Pack
from rigs.pages import base_of
from rigs.server import ComfyServer

NAME = "comfyui-gcfg"
FIRST = "starter_concept_and_control"
MOST_BYTES = 40 << 20
RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)")


@pytest.fixture(scope="module")
def files() -> list[str]:
    try:
        return archive_files()
    except FileNotFoundError as error:
        pytest.skip(f"the archive is made from git's files: {error}")


@pytest.fixture(scope="module")
def folder(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("custom_nodes") / NAME)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ComfyServer]:
    with ComfyServer({NAME: folder}) as running:
        yield running


def test_it_holds_the_pack_and_nothing_else(files: list[str]) -> None:
    tops = {path.split("/")[0] for path in files}
    needed = {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md"}
    packages = {"nodes", "gcfg_core", "web", "locales", "workflows", "starter", "training"}
    assert needed | packages <= tops
    assert not tops & {
        "bench",
        "devtools",
        "findings",
        "rigs",
        "tests",
        "tools",
        "dev.py",
        ".ci",
        ".github",
        "requirements-dev.txt",
    }
    assert not [path for path in files if path.startswith(".")]


def test_it_is_no_larger_than_it_must_be(files: list[str]) -> None:
    assert sum((ROOT / path).stat().st_size for path in files) < MOST_BYTES


def test_every_page_in_it_links_to_what_is_in_it(files: list[str], folder: Path) -> None:
    for page in (path for path in files if path.endswith(".md")):
        for target in RELATIVE_LINK.findall((folder / page).read_text(encoding="utf-8")):
            assert base_of(folder / page, folder).joinpath(target).exists(), f"{page} links to {target}"


def test_every_node_is_there(server: ComfyServer, pack: Pack) -> None:
    nodes = json.loads(server.client.get("/object_info"))
    ours = asyncio.run(pack.module("nodes").GCFGExtension().get_node_list())
    assert {node.define_schema().node_id for node in ours} == {name for name in nodes if name.startswith("GCFG_")}
    concepts = nodes["GCFG_LoadConceptModel"]["input"]["required"]["concept_name"]
    assert "toon.safetensors" in str(concepts)


def test_the_interface_gets_its_scripts_pages_texts_and_templates(server: ComfyServer) -> None:
    scripts = json.loads(server.client.get("/extensions"))
    assert f"/extensions/{NAME}/gcfg.js" in scripts
    assert server.client.get(f"/extensions/{NAME}/docs/GCFG_GuidanceTerm.md")
    assert "GCFG_GuidanceTerm" in json.loads(server.client.get("/i18n"))["zh"]["nodeDefs"]
    assert FIRST in json.loads(server.client.get("/workflow_templates"))[NAME]
    assert server.client.get(f"/api/workflow_templates/{NAME}/{FIRST}.jpg")


def test_the_first_template_runs_at_once(server: ComfyServer, folder: Path) -> None:
    prompt = json.loads((folder / "workflows" / "api" / f"{FIRST}.json").read_text(encoding="utf-8"))
    run = server.run(prompt)
    ((_, data),) = run.images
    assert np.asarray(Image.open(BytesIO(data)).convert("RGB")).std() > 10, "the picture is flat"
    assert any("2.5 * (concept(null) - base(null))" in text for text in run.texts())


def test_the_trainer_runs_from_it(folder: Path) -> None:
    command = [sys.executable, "-m", "training", "inspect", "starter/concepts/toon.safetensors"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "null-text-unet" in ended.stdout
