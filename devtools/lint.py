"""The linters, under the names that `dev.py lint` and the pre-commit hooks use."""

from devtools.environment import HOST, ROOT, TRAINING, Environment, python, run


def check() -> int:
    return run("-m", "ruff", "check")


def format_() -> int:
    return run("-m", "ruff", "format", "--check")


def types() -> int:
    """Check the types of each package against its libraries; skip the trainer's if its environment is missing."""
    codes = [_pyright(HOST, "gcfg_core")]
    if TRAINING.is_ready:
        codes.append(_pyright(TRAINING, "training"))
    return max(codes)


def _pyright(environment: Environment, package: str) -> int:
    return run("-m", "pyright", "--pythonpath", str(python(environment)), package)


LINTERS = {"check": check, "format": format_, "types": types}


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
    codes = [LINTERS[name]() for name in names]
    return next((code for code in codes if code), 0)
