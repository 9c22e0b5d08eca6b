"""Build the workflows from their definitions: python -m tools.workflows [thumbnails [NAME ...]].

Without an argument it writes workflows/*.json and workflows/api/*.json; `thumbnails` runs each workflow on tiny random
models and keeps its picture. Both need the environment that `python dev.py setup` makes.
"""

from __future__ import annotations

import sys

from ..interpreter import run_elsewhere


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if (code := run_elsewhere("tools.workflows", *arguments)) is not None:
        return code
    if arguments and arguments[0] != "thumbnails":
        print(__doc__)
        return 2
    from rigs.host import enter_host

    enter_host()
    from rigs.pack import load_pack

    pack = load_pack()
    if arguments:
        from .thumbnails import write

        paths = write(pack, arguments[1:])
    else:
        from .files import write

        paths = write()
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
