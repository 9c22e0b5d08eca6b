"""From pictures to a concept file: `python -m training prepare|train|sample|evaluate|export|inspect|convert`."""

import sys

from training.cli import main

sys.exit(main())
