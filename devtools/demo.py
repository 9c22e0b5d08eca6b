"""The pack's main job, end to end: a ComfyUI server, the paper's workflow over HTTP, a PNG. Runs in the environment."""

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from devtools.accelerator import device_arguments
from rigs.host import ROOT, enter_host

WORKFLOW = ROOT / "workflows" / "api" / "concept_and_control.json"
OUTPUT = ROOT / "output"


def main(arguments: list[str]) -> int:
    """Queue a workflow of this repository on tiny random models, save its picture and print what was done."""
    options = _options(arguments)
    logging.disable(logging.WARNING)
    enter_host()
    from rigs.base_directory import PACK_AND_STAND_INS
    from rigs.client import PromptRefused
    from rigs.server import ComfyServer
    from rigs.substitute import substitute

    workflow = json.loads(options.workflow.read_text(encoding="utf-8"))
    print("Building tiny models (random weights; the first time takes some seconds)", flush=True)
    small = substitute(workflow, steps=options.steps, size=options.size)
    print("Starting ComfyUI", flush=True)
    started = time.monotonic()
    with ComfyServer(PACK_AND_STAND_INS, small.models, small.images, arguments=device_arguments([])) as server:
        print(f"ComfyUI answers on {server.url} after {time.monotonic() - started:.1f} s")
        print(f"Queueing {options.workflow.name}", flush=True)
        try:
            run = server.run(small.prompt, seconds=1800)
        except PromptRefused as error:
            print(f"ComfyUI did not run the workflow: {error}\n{server.log_text()[-3000:]}", file=sys.stderr)
            return 1
    if not run.images:
        print("the workflow ran but saved no picture", file=sys.stderr)
        return 1
    OUTPUT.mkdir(exist_ok=True)
    for text in run.texts():
        print(text)
    for number, (name, data) in enumerate(run.images):
        path = OUTPUT / (f"demo{Path(name).suffix}" if number == 0 else f"demo_{number}{Path(name).suffix}")
        path.write_bytes(data)
        print(f"Picture: {path}")
    print(f"{len(run.progress)} progress events, {len(run.previews)} previews, {run.seconds:.1f} s for the workflow")
    print("The models are random, so the picture shows no scene; workflows/ names real ones.")
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py demo", description=__doc__)
    parser.add_argument("workflow", nargs="?", type=Path, default=WORKFLOW, help="an API-format workflow")
    parser.add_argument("--steps", type=int, default=25, help="most sampling steps (the paper: 25)")
    parser.add_argument("--size", type=int, default=256, help="most pixels a side")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
