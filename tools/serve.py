"""Serve ComfyUI with this pack and small starter models, until it is interrupted or ended. Runs inside the
environment."""

import argparse
import signal
import sys

from devtools.environment import ENDED
from rigs.host import ROOT, enter_host
from rigs.server import ComfyServer
from tools.accelerator import device_arguments

BASE = ROOT / ".comfyui" / "serve"
PORT = 8188


def main(arguments: list[str]) -> int:
    """Serve from a lasting base directory."""
    port, rest = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    enter_host()
    from rigs.prompts import tiny_models

    further = (*device_arguments(rest), *rest)
    server = ComfyServer(models=tiny_models(), base=BASE, port=port, arguments=further, quiet=False)
    print(f'Models, inputs and outputs are in {BASE}. Templates named "starter models" run as they are; for the others')
    print("put real models there: its tiny ones are random and draw noise.")
    try:
        server.start()
        server.wait_until_up()
        print(f"ComfyUI answers on {server.url} - Ctrl+C ends it.", flush=True)
        return server.process.wait() if server.process else 1
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()


def _options(arguments: list[str]) -> tuple[int, list[str]]:
    """Return the port, and the arguments for ComfyUI's main.py."""
    parser = argparse.ArgumentParser(prog="dev.py serve", allow_abbrev=False, add_help=False)
    parser.add_argument("--port", type=int, default=PORT)
    options, rest = parser.parse_known_args(arguments)
    return options.port, rest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
