"""The note of a workflow: what it shows, what to download, what to try."""

from __future__ import annotations

from .graph import Workflow
from .models import ModelFile

NOT_PUBLIC = (
    "`{name}` in `models/{folder}`: not published yet. Any null-text concept of the same family does, whatever its "
    "name: train one, or take one of the paper authors' files "
    "([arXiv 2312.08195](https://arxiv.org/abs/2312.08195)), which Load Concept Model reads as it is"
)


def note_text(workflow: Workflow) -> str:
    """The note in Markdown."""
    parts = [f"# {workflow.title}", workflow.about, f"```\n{workflow.formula}\n```", workflow.cost]
    parts += ["## Files", "\n".join(f"- {_file(model)}" for model in workflow.models)]
    parts += ["## Try", "\n".join(f"- {sentence}" for sentence in workflow.experiments)]
    return "\n\n".join(parts)


def _file(model: ModelFile) -> str:
    if not model.url:
        return NOT_PUBLIC.format(name=model.name, folder=model.folder)
    return f"[{model.name}]({model.url}) in `models/{model.folder}`"
