"""From pictures to a concept file: prepare, train, sample, evaluate, export, inspect, convert.

`python -m training` in the pack's folder, `python PACK/training` in any other.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # worker processes import this file too where they are not forked
    if not __package__:  # started by its folder, which Python puts first; its files are no top-level modules
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from training.cli import main

    sys.exit(main())
