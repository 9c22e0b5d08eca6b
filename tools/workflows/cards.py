"""Texts for each workflow in the template browser: its title, and the first sentence of its note."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .graph import Workflow

LINK = re.compile(r" ?\(\[[^]]*\]\([^)]*\)\)")
EMPHASIS = re.compile(r"[*`]")
SENTENCE = re.compile(r".*?[.](?=\s+[A-Z]|$)", re.DOTALL)


def cards(workflows: Sequence[Workflow]) -> list[dict[str, str]]:
    """Return name, title and description of each, in this order."""
    return [{"name": each.name, "title": each.title, "description": _sentence(each.about)} for each in workflows]


def _sentence(text: str) -> str:
    """Return the first sentence of Markdown as plain text, without references in parentheses."""
    plain = EMPHASIS.sub("", LINK.sub("", text))
    sentence = SENTENCE.match(plain)
    return sentence.group(0) if sentence else plain
