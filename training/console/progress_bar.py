"""Progress bars in one style: often updated on a terminal, one line every 30 s in a log."""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

Progress = Callable[[int, int], None]  # callback (done, total) that moves a progress bar
LIVELY, SELDOM = 0.5, 30.0  # seconds between updates: terminal, log
NOT_YET = 1e-9  # seconds of delay: enough to hide a bar whose total is not known yet


def bar(about: str, unit: str, total: int | None = None, quiet: bool = False, **options: Any) -> Any:
    """Return a tqdm bar on stderr that disappears when it is done.

    Args:
        about: name of the work.
        unit: name of the counted thing.
        total: how many; None if `on` sets it later: the bar stays hidden until then.
        quiet: show nothing; for all processes but the first.
        options: further arguments of tqdm, for example ``iterable``.
    """
    # miniters: tqdm's own guess would let its monitor thread print between two updates, at the rate of the last print.
    interval = LIVELY if sys.stderr.isatty() else SELDOM
    settings = {"leave": False, "mininterval": interval, "miniters": 1, "dynamic_ncols": True, **options}
    unknown = total is None and "iterable" not in options
    return tqdm(desc=about, unit=unit, total=total, disable=quiet, delay=NOT_YET if unknown else 0, **settings)


def on(shown: Any) -> Progress:
    """Return a callback (done, total) that updates a bar; the first call makes the bar visible."""

    def show(done: int, total: int) -> None:
        is_new, shown.total = shown.total is None, total
        shown.update(done - shown.n)
        if is_new:
            shown.refresh()

    return show
