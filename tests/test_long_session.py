"""Many prompts in a row on one server: memory and open files stay, and the last result is the first.

Templates need different amounts of memory, so the median and the peak of a round over all of them are compared.
"""

import copy
import itertools
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from rigs.host import ROOT
from rigs.server import ComfyServer
from rigs.substitute import substitute

PROMPTS, SETTLED = 200, 20
MOST_GROWTH = 1.02
SECONDS_TO_CLOSE = 2.0
"""For the server to close the connection of a prompt that is done."""
TEMPLATES = sorted((ROOT / "workflows" / "api").glob("starter_*.json"))
CONCEPTS = ("toon.safetensors", "pixel.safetensors", "toon_with_text.safetensors")


def template(path: Path) -> dict[str, dict]:
    prompt = substitute(json.loads(path.read_text(encoding="utf-8")), steps=2, size=32).prompt
    for node in prompt.values():
        if node["class_type"] == "GCFG_SweepAxis":
            node["inputs"]["values"] = "0, 2"
    return prompt


def changed(prompt: dict[str, dict], r: random.Random) -> dict[str, dict]:
    """Another seed and other concept models, so that nothing is taken from the server's cache."""
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        inputs: dict[str, Any] = node["inputs"]
        for name in ("seed", "noise_seed"):
            if isinstance(inputs.get(name), int):
                inputs[name] = r.randrange(1 << 32)
        if node["class_type"] == "GCFG_LoadConceptModel":
            inputs["concept_name"] = r.choice(CONCEPTS)
    return prompt


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_prompts_over_all_starter_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):  # glibc keeps freed tensors otherwise
        monkeypatch.setenv(name, str(128 << 10))
    assert len(TEMPLATES) == 14
    r = random.Random(0)
    templates = [template(path) for path in TEMPLATES]
    middle = [changed(prompt, r) for prompt in itertools.islice(itertools.cycle(templates), 1, PROMPTS - 1)]
    with ComfyServer() as server:
        assert server.process is not None
        process = psutil.Process(server.process.pid)

        def open_files() -> int:
            time.sleep(SECONDS_TO_CLOSE)
            return process.num_handles() if sys.platform == "win32" else process.num_fds()

        results, memory = [], []
        for number, prompt in enumerate([templates[0], *middle, templates[0]], 1):
            results.append([data for _, data in server.run(prompt).images])
            memory.append(process.memory_info().rss)
            if number == SETTLED:
                settled = open_files()
        last = open_files()
    assert len(results) == PROMPTS and all(results)
    assert results[-1] == results[0]
    rounds = [memory[end - len(TEMPLATES) : end] for end in (SETTLED, PROMPTS)]
    before, after = map(statistics.median, rounds)
    print(f"memory {before / 1e6:.0f} -> {after / 1e6:.0f} MB, open files {settled} -> {last}")
    assert after <= MOST_GROWTH * before, [round(one / 1e6) for one in memory]
    assert max(rounds[1]) <= MOST_GROWTH * max(rounds[0]), [round(one / 1e6) for one in memory]
    assert last <= settled
