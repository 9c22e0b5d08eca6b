"""The linters, under the names that `dev.py lint` and the pre-commit hooks use."""

from devtools.environment import HOST, ROOT, TRAINING, finish, first_failure, python, run, start


def check() -> int:
    return run("-m", "ruff", "check")


def format_() -> int:
    return run("-m", "ruff", "format", "--check")


def types() -> int:
    """Check the types of both packages, each in its environment; skip the trainer's if its environment is missing."""
    packages = {"gcfg_core": HOST, "training": TRAINING} if TRAINING.is_ready else {"gcfg_core": HOST}
    words = ("-m", "pyright", "--pythonpath")
    return first_failure(finish(*(start(*words, str(python(of)), package) for package, of in packages.items())))


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
    return first_failure([LINTERS[name]() for name in names])
