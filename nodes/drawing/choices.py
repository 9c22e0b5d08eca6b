"""What Guidance Report may draw: the panels of each choice. No matplotlib here, as the node names the choices."""

CHOICES: dict[str, tuple[str, ...]] = {
    "overview": ("push", "cosine", "cost"),
    "everything": ("push", "weight", "size", "cosine", "cost"),
    "pushes": ("push",),
    "weights and sizes": ("weight", "size"),
    "directions": ("cosine", "between"),
    "cost": ("cost",),
}
"""The cost has the squares of every two terms beside it."""
