"""The pack in a real ComfyUI server: over HTTP and the websocket, as the web interface speaks to it."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from rigs.host import ROOT
from rigs.prompts import plain_sampling, tiny_models
from rigs.server import ComfyServer, PromptRefused


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyServer]:
    packs = {"comfyui-gcfg": ROOT, "stand_ins": ROOT / "tests" / "rigs" / "stand_ins"}
    with ComfyServer(packs, tiny_models()) as running:
        yield running


def test_core_prompt_runs(server):
    run = server.run(plain_sampling("tiny-sd15.safetensors"))
    assert run.progress[-1] == (3, 3)
    assert run.previews and Image.open(BytesIO(run.previews[-1])).size[0] > 0
    ((name, data),) = run.images
    picture = Image.open(BytesIO(data))
    assert name.endswith(".png") and picture.size == (64, 64)
    assert np.asarray(picture).std() > 5, "the picture is flat"


def test_bad_value_is_refused(server):
    prompt = plain_sampling("tiny-sd15.safetensors")
    prompt["5"]["inputs"]["sampler_name"] = "no such sampler"
    with pytest.raises(PromptRefused) as error:
        server.run(prompt)
    assert error.value.status == 400
