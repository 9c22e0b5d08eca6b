"""The pack in a real ComfyUI server: over HTTP and the websocket, as the web interface speaks to it."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from rigs.client import PromptRefused, Run
from rigs.host import ROOT
from rigs.prompts import plain_sampling
from rigs.server import ComfyServer
from rigs.substitute import substitute

WORKFLOWS = ("lora_on_one_branch", "controlnet_on_control", "inpainting", "video_model", "starter_sweep")
"""Some that load different things; test_workflows.py runs all of them in this process."""

STEPS = 3


def workflow(server: ComfyServer, name: str) -> dict[str, dict]:
    """An example workflow as a prompt that runs on this server's tiny models."""
    path = ROOT / "workflows" / "api" / f"{name}.json"
    small = substitute(json.loads(path.read_text(encoding="utf-8")), steps=STEPS)
    server.add(small.models, small.images)
    return small.prompt


def inputs_of(prompt: dict[str, dict], class_type: str) -> dict:
    """The inputs of a prompt's first node of this type."""
    return next(node["inputs"] for node in prompt.values() if node["class_type"] == class_type)


def check(run: Run, steps: int) -> None:
    """Progress in order to its end, previews that are pictures, and an output picture that shows something."""
    assert run.progress[-1][0] == run.progress[-1][1], "the progress bar did not reach its end"
    assert len(run.progress) >= steps
    assert run.previews, "no preview came"
    for preview in run.previews:
        assert min(Image.open(BytesIO(preview)).size) > 0
    assert run.images, "nothing was saved"
    for _, data in run.images:
        pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        assert pixels.std() > 2, "the picture is flat"


def test_core_prompt_runs_beside_the_pack(server):
    check(server.run(plain_sampling("tiny-sd15.safetensors", STEPS)), STEPS)


def test_the_papers_graph(server):
    run = server.run(workflow(server, "concept_and_control"))
    check(run, STEPS)
    assert any("2.5 * (" in text for text in run.texts()), "the formula is not shown"


def test_the_same_seed_gives_the_same_picture(server):
    prompt = workflow(server, "concept_and_control")
    first = server.run(prompt)
    inputs_of(prompt, "SaveImage")["filename_prefix"] = "again"
    inputs_of(prompt, "GCFG_GuidanceTerm")["label"] = "another label"
    again = server.run(prompt)
    assert again.progress, "the sampler was not run again"
    ((_, one),), ((_, two),) = first.images, again.images
    assert np.array_equal(Image.open(BytesIO(one)), Image.open(BytesIO(two)))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_runs(server, name):
    check(server.run(workflow(server, name)), STEPS)


def test_bad_value_is_refused(server):
    prompt = workflow(server, "concept_and_control")
    inputs_of(prompt, "GCFG_GuidanceTerm")["weight"] = 1e6
    with pytest.raises(PromptRefused) as error:
        server.run(prompt)
    assert error.value.status == 400
    assert "weight" in json.dumps(error.value.body)


def test_bad_graph_fails_before_sampling_and_says_why(server):
    prompt = workflow(server, "concept_and_control")
    inputs_of(prompt, "GCFG_GuidanceTerm").update(start_percent=0.8, end_percent=0.2)
    with pytest.raises(PromptRefused) as error:
        server.run(prompt)
    assert "start_percent" in json.dumps(error.value.body)


def test_cancel_keeps_the_pictures_of_a_sweep_that_are_done(server):
    prompt = workflow(server, "starter_sweep")
    sweep = next(key for key, node in prompt.items() if node["class_type"] == "GCFG_Sweep")
    prompt[sweep]["inputs"]["seed"] = 1
    prompt["single"] = {"class_type": "SaveImage", "inputs": {"images": [sweep, 1], "filename_prefix": "single"}}
    run = server.client.run(prompt, cancel_at=2 * STEPS + 1)
    single = [name for name, _ in run.images if name.startswith("single")]
    assert 2 <= len(single) < 16 and len(run.images) == len(single) + 1
