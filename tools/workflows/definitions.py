"""All workflows, in the order in which they are best read."""

from __future__ import annotations

from collections.abc import Callable

from .concepts import concept_and_control
from .graph import Workflow

WORKFLOWS: tuple[Callable[[], Workflow], ...] = (concept_and_control,)
"""Each builds one workflow; its name is the file's."""
