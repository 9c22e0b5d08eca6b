"""Help where people look: a page and every language for every node, and quoted messages that the code really says."""

import ast
import asyncio
import re
from typing import Any

import pytest

from rigs.host import ROOT
from tools.locales import english, keys, read

DOCS = ROOT / "web" / "docs"
TROUBLES = ROOT / "docs" / "TROUBLESHOOTING.md"
LANGUAGES = sorted(folder.name for folder in (ROOT / "locales").iterdir() if folder.is_dir())
SPECIAL = "{}|@"
"""Characters that the interface's translations read as commands."""
BETWEEN = r"…|: expected |, got |: (?=[A-Z])|\. (?=[A-Z])"
"""What parts a quoted message into pieces that stand in the code as they are."""


@pytest.fixture(scope="module")
def texts(pack: Any) -> dict[str, dict]:
    """What the schemas of all our nodes say."""
    return english(asyncio.run(pack.module("nodes").GCFGExtension().get_node_list()))


def test_english_is_what_the_nodes_say(texts):
    assert read("en") == texts, "run python -m tools.locales"


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_is_complete(texts, language):
    there = read(language)
    assert keys(there) == keys(texts)
    for path in keys(there):
        text: Any = there
        for key in path:
            text = text[key]
        assert isinstance(text, str) and text.strip(), path
        assert not set(text) & set(SPECIAL), path


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_language_names_the_same_things(texts, language):
    """Numbers, papers and the names of widgets and choices stand in a translation as in English."""
    fixed = re.compile(r"\d{4}\.\d{5}|\b\w+_\w+\b")
    for node_id, node in texts.items():
        for name, said in node["inputs"].items():
            translated = read(language)[node_id]["inputs"][name].get("tooltip", "")
            missing = set(fixed.findall(said.get("tooltip", ""))) - set(fixed.findall(translated))
            assert not {word for word in missing if word not in translated}, (node_id, name)


def test_every_input_and_output_has_a_tooltip(texts):
    for node_id, node in texts.items():
        for name, said in [*node["inputs"].items(), *node["outputs"].items()]:
            assert said.get("tooltip") or name == "control_after_generate", (node_id, name)


def test_every_node_has_a_page_that_names_all_of_it(texts):
    for node_id, node in texts.items():
        page = (DOCS / f"{node_id}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {node['display_name']}\n")
        for name in node["inputs"]:
            assert f"`{name}`" in page or name == "control_after_generate", (node_id, name)
        for part in ("## Inputs", "## Example", "## Common mistakes"):
            assert part in page, (node_id, part)


def test_there_is_no_page_of_a_node_that_is_not_there(texts):
    assert {path.stem for path in DOCS.glob("GCFG_*.md")} == set(texts)


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_translated_pages_say_the_same(texts, language):
    """Title, headings, table rows, list items, links, pictures and everything in code, as on the English page."""
    for node_id in texts:
        english, other = ((DOCS / path).read_text("utf-8") for path in (f"{node_id}.md", f"{node_id}/{language}.md"))
        assert other.startswith(f"# {read(language)[node_id]['display_name']}\n")
        for pattern in (r"^#+ ", r"^\|", r"^- ", r"\]\(([^)]+)\)", r"`([^`]+)`"):
            said, there = (re.findall(pattern, text, re.MULTILINE) for text in (english, other))
            assert set(said) == set(there), (node_id, pattern)
            assert len(said) == len(there) or pattern.startswith("`"), (node_id, pattern)
    assert {path.parent.name for path in DOCS.glob(f"*/{language}.md")} == set(texts)


def test_pictures_are_there_and_used():
    used = {
        name for page in DOCS.glob("*.md") for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    }
    assert used == {path.name for path in DOCS.glob("*.png")}


def spoken(source: str) -> set[str]:
    """Every text of a Python file; an ellipsis stands where a value is put in."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(re.sub(r"%[.\w]+", "…", node.value))
        elif isinstance(node, ast.JoinedStr):
            found.add("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
    return found


def test_quoted_messages_are_in_the_code():
    said = {text for folder in ("nodes", "gcfg_core") for path in (ROOT / folder).rglob("*.py")
            for text in spoken(path.read_text(encoding="utf-8"))}  # fmt: skip
    quotes = re.findall(r"^> (.+)$", TROUBLES.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(quotes) > 15
    for quote in quotes:
        for piece in re.split(BETWEEN, quote):
            piece = piece.strip().strip(":;,.")
            assert len(piece) < 4 or any(piece in text for text in said), f"nothing says {piece!r} of {quote!r}"
