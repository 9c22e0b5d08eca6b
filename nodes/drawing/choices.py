"""The panels of each choice of Guidance Report; without matplotlib, because the node lists the choices."""

CHOICES: dict[str, tuple[str, ...]] = {
    "overview": ("push", "cosine", "cost"),
    "everything": ("push", "weight", "size", "cosine", "cost"),
    "pushes": ("push",),
    "weights and sizes": ("weight", "size"),
    "directions": ("cosine", "between"),
    "cost": ("cost",),
}
"""The panel of the cost has the squares of every two terms beside it."""
