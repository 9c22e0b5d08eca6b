"""The memory of the process that runs the tests: give back what is free, and measure the peak."""

import ctypes
import gc
import sys

import psutil

GROWTH = 512 << 20
"""Bytes that a process may grow by before it gives back what is free: that takes a tenth of a second."""


class Memory:
    """Gives back free memory whenever this process has grown.

    ComfyUI's models lie in reference cycles, and the C library keeps freed weights for later: without this, models of
    tests that are over stay in memory.
    """

    def __init__(self) -> None:
        self.settled = resident()

    def settle(self) -> None:
        """Give back what is free, if the process has grown by `GROWTH`."""
        if resident() > self.settled + GROWTH:
            give_back()
            self.settled = resident()


def resident() -> int:
    """Bytes of memory that this process has now."""
    return psutil.Process().memory_info().rss


def give_back() -> None:
    """Give freed memory back to the system; models that nobody holds are freed first."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def peak() -> int:
    """The most bytes that this process has had; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
