"""ComfyUI with this pack and small starter models, until it is interrupted. Runs inside the environment."""

import sys

from rigs.host import ROOT, enter_host
from rigs.server import ADDRESS, ComfyServer

BASE = ROOT / ".comfyui" / "serve"
PORT = 8188


def main(arguments: list[str]) -> int:
    """Serve from a lasting base directory; `arguments` go to ComfyUI's main.py."""
    enter_host()
    from devtools.demo import device_arguments
    from rigs.prompts import tiny_models

    port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments else PORT
    server = ComfyServer(
        models=tiny_models(), base=BASE, port=port, arguments=(*device_arguments(arguments), *arguments), quiet=False
    )
    print(f"Models, inputs and outputs are in {BASE}. The starter models are random: put real ones beside them.")
    server.start()
    try:
        server.wait_until_up()
        print(f"ComfyUI answers on http://{ADDRESS}:{port} - Ctrl+C ends it.", flush=True)
        return server.process.wait() if server.process else 1
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
