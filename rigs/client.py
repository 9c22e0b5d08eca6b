"""A client for a ComfyUI server, over HTTP and its websocket like the web interface."""

import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import websocket

PREVIEW_IMAGE, PREVIEW_WITH_METADATA = 1, 4
"""Numbers of the websocket's binary events."""


class PromptRefused(Exception):
    """The server did not accept a prompt, or a node of it failed."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"status {status}: {json.dumps(body, indent=1)[:4000]}")
        self.status = status
        self.body = body


@dataclass
class Run:
    """The events and results of one prompt."""

    images: list[tuple[str, bytes]] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    """(value, max) of every progress event."""
    previews: list[bytes] = field(default_factory=list)
    """Encoded preview images, as sent."""
    history: dict = field(default_factory=dict)
    seconds: float = 0.0

    def texts(self) -> list[str]:
        """Return every text that a node displays after its run."""
        return [text for output in self.history["outputs"].values() for text in output.get("text", [])]


class Client:
    """A client of the server at ``address``, "host:port"."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.url = f"http://{address}"

    def get(self, path: str, **query: str) -> bytes:
        """Return the body of a GET."""
        with urllib.request.urlopen(f"{self.url}{path}?{urlencode(query)}", timeout=30) as answer:
            return answer.read()

    def post(self, path: str, body: Any) -> dict:
        """Return the JSON answer to a POST of JSON.

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

    def run(self, prompt: dict, seconds: float = 300, cancel_at: int = 0) -> Run:
        """Queue an API-format prompt and listen until it is done.

        Args:
            cancel_at: press Cancel when progress reaches this value.

        Raises:
            PromptRefused: the prompt was not accepted (status 400), or a node failed while it ran (status 500).
            TimeoutError: it was not done in time.
        """
        result, client = Run(), uuid.uuid4().hex
        started = time.monotonic()
        listener = websocket.create_connection(f"ws://{self.address}/ws?clientId={client}", timeout=seconds)
        try:
            identity = self.post("/prompt", {"prompt": prompt, "client_id": client})["prompt_id"]
            while not _listen(listener, identity, result):
                if cancel_at and result.progress and result.progress[-1][0] >= cancel_at:
                    cancel_at = 0
                    self.post("/interrupt", {})
                if time.monotonic() - started > seconds:
                    raise TimeoutError(f"the prompt was not done after {seconds} s")
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
        """Return the history entry; it may appear shortly after the last event."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            history = json.loads(self.get(f"/history/{identity}"))
            if identity in history:
                return history[identity]
            time.sleep(0.05)
        raise TimeoutError(f"prompt {identity} ended but has no history entry")


def _listen(listener: websocket.WebSocket, identity: str, result: Run) -> bool:
    """Handle one message; return True after the last."""
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
    """Read a binary event: its number, then an image after one field or an image after a JSON."""
    event, first, rest = int.from_bytes(message[:4], "big"), int.from_bytes(message[4:8], "big"), message[8:]
    if event == PREVIEW_IMAGE:
        result.previews.append(rest)
    elif event == PREVIEW_WITH_METADATA:
        result.previews.append(rest[first:])
