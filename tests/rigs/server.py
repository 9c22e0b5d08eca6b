"""A real ComfyUI server in a process of its own, on the loopback address, spoken to over HTTP and its websocket."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import websocket

from rigs.base_directory import lay_out
from rigs.host import ROOT, comfyui_path

ADDRESS = "127.0.0.1"
PREVIEW_IMAGE, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
"""Numbers of the websocket's binary events."""


class PromptRefused(Exception):
    """The server did not accept a prompt, or a node of it failed."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"status {status}: {json.dumps(body, indent=1)[:4000]}")
        self.status = status
        self.body = body


@dataclass
class Run:
    """What one prompt did."""

    images: list[tuple[str, bytes]] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    """(value, max) of every progress event."""
    previews: list[bytes] = field(default_factory=list)
    """Encoded preview images, as sent."""
    notes: list[str] = field(default_factory=list)
    """Texts that nodes showed while they ran."""
    history: dict = field(default_factory=dict)
    seconds: float = 0.0

    def texts(self) -> list[str]:
        """Every text that a node displays when it is done."""
        return [text for output in self.history["outputs"].values() for text in output.get("text", [])]


class ComfyServer:
    """Boots in `__enter__`, ends the process it started in `__exit__`.

    Args:
        packs: custom node folders, linked under their folder's name.
        models: {model folder: {file name: file}}, linked into a model directory of the server's own.
        images: {file name: file}, linked into its input directory.
        base: keep models, inputs and outputs here; default a temporary directory, removed at the end.
        port: default a free one.
        arguments: further command line arguments for ComfyUI's main.py.
        quiet: send the server's output to `base`/server.log instead of this process's.
    """

    def __init__(
        self,
        packs: Mapping[str, Path] | None = None,
        models: Mapping[str, Mapping[str, Path]] | None = None,
        images: Mapping[str, Path] | None = None,
        base: Path | None = None,
        port: int | None = None,
        arguments: tuple[str, ...] = ("--cpu",),
        quiet: bool = True,
    ) -> None:
        self.packs = dict(packs) if packs is not None else {"comfyui-gcfg": ROOT}
        self.models = models or {}
        self.images = images or {}
        self.base, self._temporary = (Path(base), False) if base else (Path(tempfile.mkdtemp(prefix="gcfg-")), True)
        self.port = port or _free_port()
        self.arguments = arguments
        self.quiet = quiet
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    def __enter__(self) -> "ComfyServer":
        self.start()
        try:
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Lay out the base directory and start the process."""
        lay_out(self.base, self.packs, self.models, self.images)
        command = [sys.executable, str(comfyui_path() / "main.py"), "--listen", ADDRESS, "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--disable-auto-launch", "--preview-method", "latent2rgb"]
        command += ["--database-url", "sqlite:///" + (self.base / "user" / "comfyui.db").as_posix(), *self.arguments]
        log = open(self.log, "wb") if self.quiet else None  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                command, cwd=self.base, stdout=log, stderr=subprocess.STDOUT if log else None, env=_environment()
            )
        finally:
            if log:
                log.close()

    def wait_until_up(self, seconds: float = 180) -> None:
        """Return when the server answers.

        Raises:
            RuntimeError: it ended or stayed silent; the message ends with its log's last lines.
        """
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise RuntimeError(f"ComfyUI did not come up on {self.url}:\n{self.log_text()[-3000:]}")

    def add(self, models: Mapping[str, Mapping[str, Path]], images: Mapping[str, Path] | None = None) -> None:
        """Link further model files and input images; the running server finds them."""
        lay_out(self.base, {}, models, images)

    def stop(self) -> None:
        """End the process that `start` began, and remove a temporary base directory."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        if self._temporary:
            shutil.rmtree(self.base, ignore_errors=True)

    @property
    def log(self) -> Path:
        return self.base / "server.log"

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.is_file() else ""

    def get(self, path: str, **query: str) -> bytes:
        """The body of a GET."""
        with urllib.request.urlopen(f"{self.url}{path}?{urlencode(query)}", timeout=30) as answer:
            return answer.read()

    def post(self, path: str, body: Any) -> dict:
        """The JSON answer to a POST of JSON.

        Raises:
            PromptRefused: the server answered with an error status.
        """
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                raise PromptRefused(error.code, json.loads(text)) from None
            except json.JSONDecodeError:
                raise PromptRefused(error.code, text) from None

    def run(self, prompt: dict, seconds: float = 300) -> Run:
        """Queue an API-format prompt and listen until it is done.

        Raises:
            PromptRefused: the prompt was not accepted (status 400), or a node failed while it ran (status 500).
            TimeoutError: it was not done in time.
        """
        result, client = Run(), uuid.uuid4().hex
        started = time.monotonic()
        listener = websocket.create_connection(f"ws://{ADDRESS}:{self.port}/ws?clientId={client}", timeout=seconds)
        try:
            identity = self.post("/prompt", {"prompt": prompt, "client_id": client})["prompt_id"]
            while not self._listen(listener, identity, result):
                if time.monotonic() - started > seconds:
                    raise TimeoutError(f"the prompt was not done after {seconds} s:\n{self.log_text()[-2000:]}")
        finally:
            listener.close()
        result.seconds = time.monotonic() - started
        result.history = self._history(identity)
        for output in result.history["outputs"].values():
            for image in output.get("images", []):
                query = {"filename": image["filename"], "subfolder": image["subfolder"], "type": image["type"]}
                result.images.append((image["filename"], self.get("/view", **query)))
        return result

    def _history(self, identity: str, seconds: float = 10) -> dict:
        """The history entry; it may appear a moment after the last event."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            history = json.loads(self.get(f"/history/{identity}"))
            if identity in history:
                return history[identity]
            time.sleep(0.05)
        raise TimeoutError(f"prompt {identity} ended but has no history entry")

    @staticmethod
    def _listen(listener: websocket.WebSocket, identity: str, result: Run) -> bool:
        """Take one message in; True when it is the last."""
        message = listener.recv()
        if isinstance(message, bytes):
            _take_binary(message, result)
            return False
        event = json.loads(message)
        data = event.get("data") or {}
        if data.get("prompt_id") not in (None, identity):
            return False
        if event["type"] == "progress":
            result.progress.append((data["value"], data["max"]))
        elif event["type"] in ("execution_error", "execution_interrupted"):
            raise PromptRefused(500, data)
        return event["type"] == "execution_success"


def _take_binary(message: bytes, result: Run) -> None:
    """A binary event: its number, then an image after one field, an image after a JSON, or a node's text."""
    event, first, rest = int.from_bytes(message[:4], "big"), int.from_bytes(message[4:8], "big"), message[8:]
    if event == PREVIEW_IMAGE:
        result.previews.append(rest)
    elif event == PREVIEW_WITH_METADATA:
        result.previews.append(rest[first:])
    elif event == TEXT:
        result.notes.append(rest[first:].decode())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]
