"""A pytest plugin for two processes that run one suite: each test file is run by the process that takes it first.

`pytest -p devtools.shared_files`, with GCFG_TEST_FILES naming a folder: the first process puts an entry there for
every test file, and whoever removes an entry runs its file. Files with slow tests come first, so that the processes end
at about the same time.
"""

import contextlib
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from devtools.suites import FOLDER


def pytest_configure(config: pytest.Config) -> None:
    """Share the files if the variable names a folder; commands that tests start share nothing."""
    named = os.environ.pop(FOLDER, None)
    if named:
        config.pluginmanager.register(SharedFiles(Path(named)))


class SharedFiles:
    """The test files that this process has taken from a folder, and those that another process has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: dict[Path, bool] = {}
        """Decisions so far: True for each file that this process runs."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self.folder.exists():
            return
        listed = self.folder.with_suffix(".partial")
        listed.mkdir()
        for path in {item.path for item in session.items}:
            (listed / _entry(path)).touch()
        listed.rename(self.folder)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Skip the test silently (return True) if another process has its file."""
        if item.path not in self.taken:
            self.taken[item.path] = self._take(item.path)
        return None if self.taken[item.path] else True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remove all entries if this process stops early (`-x`)."""
        if session.shouldfail or session.shouldstop:
            for entry in self.folder.glob("*"):
                entry.unlink(missing_ok=True)

    def _take(self, path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            (self.folder / _entry(path)).unlink()
            return True
        return False


def _entry(path: Path) -> str:
    return quote(str(path), safe="")
