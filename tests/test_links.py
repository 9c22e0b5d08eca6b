"""The pages that people read: every link leads somewhere, every command exists, and README.md stays short."""

import re
from pathlib import Path

import pytest

from dev import COMMANDS
from rigs.host import ROOT
from rigs.pages import base_of

FOLDERS = ("docs", "findings", "starter", "web/docs", ".github")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")
MODULE = re.compile(r"python -m ((?:bench|devtools|rigs|tools|training)[.\w]*)")
DEV = re.compile(r"python dev\.py (\w+)")
FILE = re.compile(
    r"`((?:bench|devtools|docs|findings|gcfg_core|nodes|rigs|starter|tests|tools|training|web|workflows)/[\w./]+)`"
)
MOST_LINES = 170


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(read(page)):
        target = base_of(page, ROOT) / path if path else page
        assert target.exists(), f"links to {path}"
        assert not anchor or anchor in anchors(target), f"{path} has no heading {anchor}"


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_commands_and_files_exist(page: Path) -> None:
    """Of files those that a page names from the repository's root."""
    for module in MODULE.findall(read(page)):
        path = ROOT.joinpath(*module.rstrip(".").split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    assert set(DEV.findall(read(page))) <= set(COMMANDS)
    assert page.name == "CHANGELOG.md" or all((ROOT / path).exists() for path in FILE.findall(read(page)))


def test_every_guide_and_help_page_is_one_link_away_from_readme() -> None:
    linked = {path for path, _ in LINK.findall(read(ROOT / "README.md"))}
    pages = {of(page) for folder in ("docs", "web/docs") for page in (ROOT / folder).glob("*.md")}
    assert pages | {"starter/results/README.md"} <= linked


def test_readme_is_short() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= MOST_LINES
