"""Recognize out-of-memory errors, which torch raises in several forms, and put them into one line."""

LESS = "Lower --batch-size, --batch or the resolution, take a smaller precision, or --device cpu."
SIGNS = ("out of memory", "can't allocate memory", "alloc_cpu", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """True if an exception means that a device or the machine ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def memory_line(error: BaseException) -> str:
    """Return the error message, one line."""
    reason = " ".join((str(error) or "no details").split())[:120]
    return f"out of memory: {reason}. {LESS}"
