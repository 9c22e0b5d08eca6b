"""Byte counts for people."""


def size_text(count: float) -> str:
    """Format a number of bytes with three digits and a unit."""
    for unit in ("B", "KB", "MB"):
        if round(count, 2 if count < 10.0 else 1 if count < 100.0 else 0) < 1000.0:
            return f"{count:.3g} {unit}"
        count /= 1000.0
    return f"{count:.2f} GB"
