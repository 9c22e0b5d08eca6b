"""kill -9 while the cache is being filled: what is there is whole, and the next fill ends it."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from train_rigs.pictures import TinyCodec, data_config, save_noise

from training.data.latent_cache import LatentCache
from training.data.latent_reader import read_entry, wanted_latents
from training.data.scan import scan_folder

KILLS = 6
# Forked from a process that has torch already: a fresh interpreter would spend its life on imports.
FILLER = """
import os, sys, time
from pathlib import Path
from train_rigs.pictures import TinyCodec, data_config
from training.data.latent_cache import LatentCache
from training.data.latent_reader import wanted_latents
from training.data.scan import scan_folder

class Slow(TinyCodec):
    def encode(self, pixels):
        time.sleep(0.002)
        return super().encode(pixels)

images, cache = map(Path, sys.argv[1:3])
scan = scan_folder(data_config(images, cache=cache))
wanted = wanted_latents(scan.pictures, scan.buckets(), 0.5)
for line in sys.stdin:
    if (child := os.fork()) == 0:
        LatentCache(cache, Slow()).fill(wanted, batch=2)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def test_killed_at_random_moments(tmp_path: Path) -> None:
    images, cache_folder = tmp_path / "images", tmp_path / "cache"
    save_noise(images, [(40, 32), (32, 48), (33, 32)] * 20)
    scan = scan_folder(data_config(images))
    wanted = wanted_latents(scan.pictures, scan.buckets(), 0.5)
    LatentCache(tmp_path / "whole", TinyCodec()).fill(wanted, batch=2)
    rng = random.Random(0)
    moments = [(rng.randrange(20), rng.uniform(0.0, 0.01)) for _ in range(KILLS)]
    counts = _kill_fillers(images, cache_folder, moments)
    assert counts == sorted(counts) and counts[-1] > 0
    cache = LatentCache(cache_folder, TinyCodec())
    cache.fill(wanted, batch=2)
    for w in wanted:
        for flip in w.flips:
            assert cache.reader().read(w.picture, w.size, flip) is not None
    assert _whole_entries(cache_folder) == _whole_entries(tmp_path / "whole")


def _whole_entries(folder: Path) -> dict[str, bytes]:
    """Entries by name; each must be readable."""
    paths = list(folder.rglob("*.latent.safetensors"))
    assert all(read_entry(folder, path.name.split(".")[0]) is not None for path in paths)
    return {path.name: path.read_bytes() for path in paths}


def _files(cache: Path) -> list[Path]:
    return list(cache.glob("??/*"))


def _kill_fillers(images: Path, cache: Path, moments: list[tuple[int, float]]) -> list[int]:
    """Start fillers and kill each after so many new files and seconds; how many entries there were after each."""
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    command = [sys.executable, "-W", "ignore", "-c", FILLER, str(images), str(cache)]
    counts = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        for new, delay in moments:
            target = min(len(_files(cache)) + new, 110)
            print("go", file=parent.stdin, flush=True)
            child = int(parent.stdout.readline())
            deadline = time.monotonic() + 20.0
            while len(_files(cache)) < target and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(delay)
            with contextlib.suppress(ProcessLookupError):  # it may have come to its end
                os.kill(child, signal.SIGKILL)
            assert parent.stdout.readline() == "ended\n"
            counts.append(len(_whole_entries(cache)))
        parent.stdin.close()
    return counts
