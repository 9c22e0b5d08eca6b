"""The linters, each by the name that `dev.py lint` and the pre-commit hooks use."""

from devtools.environment import python, run

LINTERS = {
    "check": ("ruff", "check"),
    "format": ("ruff", "format", "--check"),
    "types": ("pyright", "--pythonpath"),
}


def lint(names: list[str]) -> int:
    """Run these linters (all when none is named) and return the first exit code that is not zero.

    Raises:
        KeyError: there is no linter of that name.
    """
    codes = []
    for name in names or list(LINTERS):
        command = [*LINTERS[name], str(python())] if name == "types" else list(LINTERS[name])
        codes.append(run("-m", *command))
    return next((code for code in codes if code), 0)
