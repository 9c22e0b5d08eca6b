"""The mirroring setting in words."""


def mirrored_text(flip: float) -> str:
    """Describe a probability of mirroring."""
    if 0.0 < flip < 1.0:
        return f"left to right with a probability of {flip:g}"
    return "left to right, always" if flip else "never"
