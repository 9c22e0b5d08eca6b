"""The memory of the test process: give free memory back, and measure the peak."""

import ctypes
import gc
import sys

import psutil

GROWTH = 128 << 20
"""Growth in bytes after which a process gives free memory back, which takes a tenth of a second."""


class Memory:
    """Gives free memory back whenever this process has grown.

    ComfyUI's models are in reference cycles, and the C library keeps freed weights for later: without this, models of
    finished tests stay in memory.
    """

    def __init__(self) -> None:
        self.settled = resident()

    def settle(self) -> None:
        """Give free memory back if the process has grown by `GROWTH`."""
        if resident() > self.settled + GROWTH:
            give_back()
            self.settled = resident()


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    return psutil.Process().memory_info().rss


def give_back() -> None:
    """Give freed memory back to the system, after freeing unreferenced models."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def peak() -> int:
    """Return the largest memory of this process in bytes; 0 if the system does not report it."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
