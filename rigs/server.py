"""A real ComfyUI server in its own process, on the loopback address."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Mapping
from pathlib import Path

from rigs.base_directory import PACK, lay_out
from rigs.client import Client, Run
from rigs.frontend import frontend_arguments
from rigs.host import comfyui_path

ADDRESS = "127.0.0.1"


class ComfyServer:
    """A server that starts in `__enter__` and ends its process in `__exit__`.

    Args:
        packs: {name: custom node folder}, to be linked; default this pack.
        models: {model folder: {file name: file}}, linked into a model directory of the server's own.
        images: {file name: file}, put into its input directory beside ComfyUI's own pictures.
        base: keep models, inputs and outputs here; default a temporary directory, removed at the end.
        port: default a free port.
        arguments: further command line arguments for ComfyUI's main.py.
        quiet: send the server's output to `base`/server.log instead of this process's.
    """

    def __init__(
        self,
        packs: Mapping[str, Path] = PACK,
        models: Mapping[str, Mapping[str, Path]] | None = None,
        images: Mapping[str, Path] | None = None,
        base: Path | None = None,
        port: int | None = None,
        arguments: tuple[str, ...] = ("--cpu",),
        quiet: bool = True,
    ) -> None:
        self.packs = packs
        self.models = models or {}
        self.images = {path.name: path for path in comfyui_path().glob("input/*.png")} | dict(images or {})
        self.base, self._temporary = (Path(base), False) if base else (Path(tempfile.mkdtemp(prefix="gcfg-")), True)
        self.port = port or free_port()
        self.client = Client(f"{ADDRESS}:{self.port}")
        self.arguments = arguments
        self.quiet = quiet
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return self.client.url

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
        command += ["--database-url", "sqlite:///" + (self.base / "user" / "comfyui.db").as_posix()]
        command += [*frontend_arguments(), *self.arguments]
        log = open(self.log, "wb") if self.quiet else None  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                command, cwd=self.base, stdout=log, stderr=subprocess.STDOUT if log else None, env=_environment()
            )
        finally:
            if log:
                log.close()

    def wait_until_up(self, seconds: float = 180) -> None:
        """Wait until the server answers.

        Raises:
            RuntimeError: it ended or stayed silent; the message ends with its log's last lines.
        """
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                self.client.get("/system_stats")
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

    def run(self, prompt: dict, seconds: float = 300) -> Run:
        """Do as `Client.run`; a timeout error includes the log's last lines."""
        try:
            return self.client.run(prompt, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}:\n{self.log_text()[-2000:]}") from None


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}


def free_port() -> int:
    """Return an unused port of the loopback address."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]
