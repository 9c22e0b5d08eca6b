"""Running out of memory, which torch tells in several ways, as one line."""

LESS = "Lower --batch-size, --batch or the resolution, take a smaller precision, or --device cpu."
SIGNS = ("out of memory", "can't allocate memory", "alloc_cpu", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device or the machine had no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def memory_line(error: BaseException) -> str:
    """One line for people."""
    reason = " ".join((str(error) or "no more").split())[:120]
    return f"memory: expected enough of it, got: {reason}. {LESS}"
