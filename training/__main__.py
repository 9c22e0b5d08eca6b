"""The trainer's entry point: prepare, train, sample, evaluate, export, inspect and convert.

Run `python -m training` in the pack's folder, or `python PACK/training` from any other folder.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # worker processes that are not forked import this file too
    if not __package__:  # started by path: sys.path begins with this folder, whose files are no modules
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from training.cli import main

    sys.exit(main())
