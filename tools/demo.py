"""The demo: a ComfyUI server, the paper's graph over HTTP, and a picture of the effect of each weight.

With a workflow's name it runs that workflow instead; model files in it are replaced by tiny random models.
"""

import argparse
import copy
import io
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from devtools.environment import ENDED
from rigs.host import ROOT, enter_host
from tools.accelerator import device_arguments

GRAPH = ROOT / "workflows" / "api" / "starter_concept_and_control.json"
OUTPUT = ROOT / "output"
CONCEPT_WEIGHTS = (0.0, 0.75, 1.5, 2.5)
CONTROL_WEIGHTS = (0.0, 1.0, 2.5, 5.0)


def main(arguments: list[str]) -> int:
    """Draw the grid, or run the named workflow; print the pictures' paths."""
    options = _options(arguments)
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))  # so that the server ends with this process
    enter_host()
    from rigs.client import PromptRefused

    OUTPUT.mkdir(exist_ok=True)
    try:
        return run_workflow(options) if options.workflow else draw_grid_of_weights(options)
    except PromptRefused as error:
        print(f"ComfyUI did not run the workflow: {error}", file=sys.stderr)
        return 1


def draw_grid_of_weights(options: argparse.Namespace) -> int:
    """Draw the paper's graph on the starter models: a row for each concept weight, a column for each control weight."""
    from rigs.server import ComfyServer
    from training.sample.grid import beside, draw_grid

    began, prompt = time.monotonic(), json.loads(GRAPH.read_text(encoding="utf-8"))
    _node(prompt, "EmptyImage")["batch_size"] = options.pictures
    asked = next(n["inputs"]["text"] for n in prompt.values() if n["inputs"].get("text"))
    print("Starting ComfyUI", flush=True)
    with ComfyServer(arguments=device_arguments([])) as server:
        print(f"ComfyUI answers on {server.url} after {time.monotonic() - began:.1f} s", flush=True)
        cells: list[list[Any]] = []
        for w_concept in options.w_concept:
            cells.append([])
            for w_control in options.w_control:
                run = server.run(with_weights(prompt, w_concept, w_control), seconds=600)
                cells[-1].append(beside([Image.open(io.BytesIO(data)).convert("RGB") for _, data in run.images]))
            print(f"concept weight {w_concept:g}: done after {time.monotonic() - began:.1f} s", flush=True)
    rows, columns = ([f"{name} {w:g}" for w in weights]
                     for name, weights in (("concept", options.w_concept), ("control", options.w_control)))  # fmt: skip
    grid = draw_grid(cells, rows, columns, f"D = base + concept + control; prompt: {asked}")
    path = OUTPUT / "demo.png"
    grid.save(path)
    print(f"Picture: {path}")
    print("Left to right the picture obeys the prompt more and more; downwards it takes on the concept's look.")
    _tell_cost(began)
    return 0


def with_weights(prompt: dict[str, dict], w_concept: float, w_control: float) -> dict[str, dict]:
    """Return the paper's graph with other weights."""
    changed = copy.deepcopy(prompt)
    for label, weight in (("concept", w_concept), ("control", w_control)):
        next(n for n in changed.values() if n["inputs"].get("label") == label)["inputs"]["weight"] = weight
    return changed


def run_workflow(options: argparse.Namespace) -> int:
    """Queue a workflow on tiny models, save its pictures and print a summary."""
    from rigs.base_directory import PACK_AND_STAND_INS
    from rigs.server import ComfyServer
    from rigs.substitute import substitute

    began, workflow = time.monotonic(), json.loads(options.workflow.read_text(encoding="utf-8"))
    small = substitute(workflow, steps=options.steps, size=options.size)
    print("Starting ComfyUI", flush=True)
    with ComfyServer(PACK_AND_STAND_INS, small.models, small.images, arguments=device_arguments([])) as server:
        print(f"ComfyUI answers on {server.url} after {time.monotonic() - began:.1f} s", flush=True)
        run = server.run(small.prompt, seconds=1800)
    if not run.images:
        print("the workflow ran but saved no picture", file=sys.stderr)
        return 1
    for text in run.texts():
        print(text)
    for number, (name, data) in enumerate(run.images):
        path = OUTPUT / (f"demo{Path(name).suffix}" if number == 0 else f"demo_{number}{Path(name).suffix}")
        path.write_bytes(data)
        print(f"Picture: {path}")
    if small.models:
        print("Its models are random here, so the picture shows no scene; the workflow's note names the real ones.")
    _tell_cost(began)
    return 0


def _node(prompt: dict[str, dict], kind: str) -> dict[str, Any]:
    """Return the inputs of the first node of a type."""
    return next(node["inputs"] for node in prompt.values() if node["class_type"] == kind)


def _tell_cost(began: float) -> None:
    summary = f"{time.monotonic() - began:.1f} s"
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
        summary += f", peak memory of ComfyUI {peak:.2f} GB"
    print(summary)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py demo", description=__doc__)
    parser.add_argument("workflow", nargs="?", type=Path, help="an API-format workflow to run instead of the grid")
    parser.add_argument(
        "--w-concept", nargs="+", type=float, default=CONCEPT_WEIGHTS, help="concept weights of the grid"
    )
    parser.add_argument(
        "--w-control", nargs="+", type=float, default=CONTROL_WEIGHTS, help="control weights of the grid"
    )
    parser.add_argument("--pictures", type=int, default=2, help="pictures in each cell of the grid")
    parser.add_argument("--steps", type=int, default=25, help="most sampling steps of a workflow (the paper: 25)")
    parser.add_argument("--size", type=int, default=256, help="most pixels a side of a workflow")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
