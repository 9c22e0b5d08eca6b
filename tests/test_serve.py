"""`python dev.py serve` and `demo` as a person starts and ends them: nothing stays behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator

import pytest

from devtools.environment import ENDED
from rigs.client import Client
from rigs.host import ROOT
from rigs.server import ADDRESS, free_port

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that asks a process to end")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def serving(port, tmp_path) -> Iterator[subprocess.Popen]:
    """dev.py while its ComfyUI answers, with a user directory of its own."""
    command = [sys.executable, "dev.py", "serve", "--port", str(port), "--cpu", "--user-directory", str(tmp_path)]
    log = tmp_path / "output.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        for _ in range(900):
            if answers(port):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def answers(port: int) -> bool:
    try:
        return bool(Client(f"{ADDRESS}:{port}").get("/system_stats"))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0


def test_when_it_is_ended_the_server_ends_with_it(serving, port):
    assert is_listening(port)
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(60) == ENDED
    assert not is_listening(port)


def test_when_the_demo_is_ended_its_server_ends_with_it():
    with subprocess.Popen([sys.executable, "dev.py", "demo"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        line = next(line for line in demo.stdout if line.startswith("ComfyUI answers on"))
        port = int(re.search(r":(\d+) ", line)[1])
        assert is_listening(port)
        demo.terminate()
        assert demo.wait(60) == ENDED
    assert not is_listening(port)
