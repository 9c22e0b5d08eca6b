"""Progress bars, all alike: lively on a terminal, a line now and then in a log."""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

Progress = Callable[[int, int], None]  # is called with how much is done, and of how much
LIVELY, SELDOM = 0.5, 30.0  # seconds from one line to the next
NOT_YET = 1e-9  # seconds before which a bar shows nothing: enough that it does not begin with 0 of an unknown number


def bar(about: str, unit: str, total: int | None = None, quiet: bool = False, **options: Any) -> Any:
    """A tqdm bar on stderr that disappears when it is done.

    Args:
        about: what is going on.
        unit: what is counted.
        total: how many there are; None where that comes out later (see `on`): nothing is shown until then.
        quiet: show nothing, as in all processes but the first.
        options: more of tqdm's, such as ``iterable``.
    """
    # miniters: tqdm's own guess would let its monitor thread print between two updates, at the rate of the last print.
    interval = LIVELY if sys.stderr.isatty() else SELDOM
    settings = {"leave": False, "mininterval": interval, "miniters": 1, "dynamic_ncols": True, **options}
    unknown = total is None and "iterable" not in options
    return tqdm(desc=about, unit=unit, total=total, disable=quiet, delay=NOT_YET if unknown else 0, **settings)


def on(shown: Any) -> Progress:
    """A bar as a callback that is told (done, total); it shows itself as soon as it knows them."""

    def show(done: int, total: int) -> None:
        is_new, shown.total = shown.total is None, total
        shown.update(done - shown.n)
        if is_new:
            shown.refresh()

    return show
