"""The linters, each by the name that `dev.py lint` and the pre-commit hooks use."""

from devtools.environment import ROOT, python, run

LINTERS = {
    "check": ("ruff", "check"),
    "format": ("ruff", "format", "--check"),
    "types": ("pyright", "--pythonpath"),
}


def lint_all() -> int:
    """Run every pre-commit hook on every file, or outside a git checkout the linters themselves."""
    if (ROOT / ".git").exists():
        return run("-m", "pre_commit", "run", "--all-files", "--verbose")
    return lint(list(LINTERS))


def lint(names: list[str]) -> int:
    """Run these linters and return the first exit code that is not zero.

    Raises:
        KeyError: there is no linter of that name.
    """
    codes = []
    for name in names:
        command = [*LINTERS[name], str(python())] if name == "types" else list(LINTERS[name])
        codes.append(run("-m", *command))
    return next((code for code in codes if code), 0)
