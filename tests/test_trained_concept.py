"""From pictures to a picture: a concept trained in the trainer's own environment samples in ComfyUI by a workflow."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from devtools.environment import TRAINING
from gcfg_core.concept.concept_file import read_concept
from rigs.graphs import norm_error
from rigs.host import ROOT
from rigs.null_text import as_denoised, authors_unet, denoised_by_concept
from rigs.workflows import WorkflowRunner

pytestmark = pytest.mark.skipif(not TRAINING.is_ready, reason="the trainer's environment .venv-train is not there")
STEPS = 4
MAKE = """
import sys
from pathlib import Path
from train_rigs.bases import tiny_base
from train_rigs.pictures import save_noise
folder = Path(sys.argv[1])
tiny_base("sd15", folder, width=64).save_folder(folder / "base")
save_noise(folder / "images", [(64, 64), (96, 64), (64, 96), (80, 80), (64, 64), (72, 64)])
"""


def trainer(*arguments: object) -> str:
    """Run the trainer's Python in the repository, without anything of this process's environment."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "COMFYUI_PATH")}
    environment = {**kept, "PYTHONPATH": str(ROOT / "tests" / "training"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(TRAINING.python), *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on a tiny base."""
    folder = tmp_path_factory.mktemp("trained")
    trainer("-c", MAKE, folder)
    trainer(
        "-m", "training", "train", "--preset", "cpu-tiny", "--base", folder / "base", "--images", folder / "images",
        "--output", folder / "run", "--steps", STEPS, "--save-every", STEPS, "--lr", "1e-3", "--title", "Noise",
        "--calibration-images", 4, "--batch-size", 2, "--export-dtype", "fp32", "--resolution", 32, "--bucket-step", 16,
    )  # fmt: skip
    return folder / "run"


@pytest.fixture(scope="module")
def concept_file(run: Path) -> Path:
    return run / "Noise.safetensors"


def test_the_file_says_what_it_is(run: Path, concept_file: Path) -> None:
    concept = read_concept(concept_file)
    assert concept.kind == "null-text-unet" and concept.title == "Noise" and not concept.assumptions
    assert concept.training["steps"] == STEPS and concept.base
    assert "Noise" in (run / "README.md").read_text(encoding="utf-8")


def test_it_samples_through_the_papers_workflow(pack: Any, concept_file: Path, tmp_path: Path) -> None:
    prompt = json.loads((ROOT / "workflows" / "api" / "concept_and_control.json").read_text(encoding="utf-8"))
    (loader,) = (node for node in prompt.values() if node["class_type"] == "GCFG_LoadConceptModel")
    with WorkflowRunner(pack, tmp_path) as runner:
        random = runner.run(prompt, 3, 64)
        loader["inputs"]["concept_name"] = concept_file.name
        trained = runner.run(prompt, 3, 64, {"gcfg_concepts": {concept_file.name: concept_file}})
    assert trained.evaluations == random.evaluations == [[3] * 3]
    assert len(trained.images) == 1 and trained.images[0].read_bytes() != random.images[0].read_bytes()


def test_diffusers_and_comfyui_agree_on_it(load_concept: Any, concept_file: Path) -> None:
    concept = read_concept(concept_file)
    model, twin = load_concept(concept_file).model, authors_unet(dict(concept.config), load_file(concept_file))
    x = torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(3)) * 5
    sigma = model.model_sampling.sigma(torch.tensor([100.0, 700.0]))
    text = torch.zeros(2, 7, concept.config["cross_attention_dim"])
    expected = as_denoised(lambda scaled, t: twin(scaled, t, text).sample, model, x, sigma, False)
    error = norm_error(denoised_by_concept(model, x, sigma) - x, expected - x)
    print(f"relative error {error:.1e}")
    assert error <= 1e-4
