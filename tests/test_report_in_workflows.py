"""Reports in workflows, by ComfyUI's own executor: connected later they need no new run, and they wait for sampling."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from rigs.host import ROOT
from rigs.workflows import Done, WorkflowRunner

STEPS, SIZE = 3, 64
Prompt = dict[str, dict]


@pytest.fixture(scope="module")
def runner(pack, tmp_path_factory) -> Iterator[WorkflowRunner]:
    with WorkflowRunner(pack, tmp_path_factory.mktemp("comfyui")) as running:
        yield running


def prompt(name: str) -> Prompt:
    return json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))


def key_of(prompt: Prompt, class_type: str) -> str:
    return next(key for key, node in prompt.items() if node["class_type"] == class_type)


def with_report(prompt: Prompt, trace: list, after: list | None = None, save: str = "nothing") -> Prompt:
    """The prompt with a report whose picture is saved."""
    inputs = {"trace": trace, "draw": "overview", "theme": "light", "width": 600, "save": save}
    inputs |= {"filename_prefix": "gcfg/report"} | ({} if after is None else {"after": after})
    saved = {"images": ["report", 0], "filename_prefix": "report"}
    report = {"class_type": "GCFG_Report", "inputs": inputs}
    return {**copy.deepcopy(prompt), "report": report, "save report": {"class_type": "SaveImage", "inputs": saved}}


def report_of(done: Done) -> Path:
    (path,) = [path for path in done.images if path.name.startswith("report") and path.suffix == ".png"]
    return path


def test_a_report_connected_later_needs_no_new_run(runner):
    plain = prompt("concept_and_control")
    first = runner.run(plain, STEPS, SIZE)
    sampler = key_of(plain, "GCFG_Sampler")
    later = runner.run(with_report(plain, [sampler, 1], save="csv and json"), STEPS, SIZE)
    assert first.chunks and not later.chunks and not later.traces
    assert Image.open(report_of(later)).width == 600
    assert {path.suffix for path in later.images} == {".png", ".csv", ".json"}
    (text,) = [text for text in later.texts if text.startswith("# Guidance report")]
    assert first.traces[0].formula in text and "Saved: output/gcfg/report_00001_.csv" in text


def test_drawn_anew_without_sampling(runner):
    plain = prompt("concept_and_control")
    sampler = key_of(plain, "GCFG_Sampler")
    runner.run(with_report(plain, [sampler, 1]), STEPS, SIZE)
    other = with_report(plain, [sampler, 1])
    other["report"]["inputs"] |= {"draw": "everything", "theme": "dark"}
    again = runner.run(other, STEPS, SIZE)
    assert not again.chunks and Image.open(report_of(again)).convert("L").getpixel((0, 0)) < 100


def test_with_a_guider_it_waits_for_the_latent(runner):
    """Also when only the noise is another, so that the guider and its trace come from ComfyUI's cache."""
    plain = prompt("two_stages")
    guiders = [key for key, node in plain.items() if node["class_type"] == "GCFG_Guider"]
    samplers = [key for key, node in plain.items() if node["class_type"] == "SamplerCustomAdvanced"]
    asked = with_report(plain, [guiders[1], 1], after=[samplers[1], 0])
    first = runner.run(asked, STEPS, SIZE)
    asked[key_of(asked, "RandomNoise")]["inputs"]["noise_seed"] = 5
    second = runner.run(asked, STEPS, SIZE)
    texts = [next(text for text in done.texts if text.startswith("# Guidance report")) for done in (first, second)]
    assert all("| concept |" in text for text in texts) and texts[0] != texts[1]
    assert report_of(first).read_bytes() != report_of(second).read_bytes()


def test_predictions_are_compared(runner):
    plain = prompt("concept_and_control")
    sampler, decode = key_of(plain, "GCFG_Sampler"), key_of(plain, "VAEDecode")
    plain[sampler]["inputs"]["preview_at"] = 0.5
    inputs = {"trace": [sampler, 1], "vae": plain[decode]["inputs"]["vae"], "theme": "dark", "size": 96}
    saved = {"images": ["compare", 0], "filename_prefix": "strip"}
    plain["compare"] = {"class_type": "GCFG_ComparePredictions", "inputs": inputs}
    plain["save strip"] = {"class_type": "SaveImage", "inputs": saved}
    done = runner.run(plain, STEPS, SIZE)
    (strip,) = [path for path in done.images if path.name.startswith("strip")]
    assert Image.open(strip).width > 4 * 96
