"""The note of a workflow: its subject, files to download, and things to try."""

from __future__ import annotations

from .cast import WORLD_TITLE
from .graph import Workflow
from .models import ModelFile

NOT_PUBLIC = """\
A concept file is not published yet. Any null-text concept of the same family does, whatever its name: one that you \
trained, or one of the paper authors' files ([arXiv 2312.08195](https://arxiv.org/abs/2312.08195)), which Load Concept \
Model reads as it is. Without one, bypass the concept's term and its loader (Ctrl+B): the rest still runs."""


STARTER_FILES = """\
Nothing to download: the pack brings {files}. They are small (4 million parameters, pictures of 32 x 32) and \
know faces in a few styles and the words of their captions: `light`, `brown`, `dark` skin; `black`, `blond`, `red`, \
`gray` hair; `red`, `green`, `blue`, `yellow`, `purple`, `white` background; `glasses`. Styles: `an adventurer face`, \
`a big smile face`, `a big ears face`, `a persona face`, `a mini face`, `a peep face`, `a thumb`, `shapes`, `rings`. \
The concepts, *toon* and *pixel*, were learned from pictures without captions."""


def note_text(workflow: Workflow) -> str:
    """Return the note in Markdown."""
    parts = [f"# {workflow.title}", workflow.about, f"```\n{workflow.formula}\n```", workflow.cost]
    parts.append("## Files")
    if workflow.cast.is_starter:
        names = [f"the world *{WORLD_TITLE}*", *(f"`{model.name}`" for model in workflow.models)]
        parts.append(STARTER_FILES.format(files=" and ".join(names)))
    else:
        parts.append("\n".join(f"- {_file(model)}" for model in workflow.models))
        if not all(model.url for model in workflow.models):
            parts.append(NOT_PUBLIC)
    parts += ["## Try", "\n".join(f"- {sentence}" for sentence in workflow.experiments)]
    return "\n\n".join(parts)


def _file(model: ModelFile) -> str:
    if not model.url:
        return f"{model.name} in `models/{model.folder}`"
    renamed = (
        "" if model.url.split("?")[0].endswith(model.name) or "civitai" in model.url else ", saved under this name"
    )
    return f"[{model.name}]({model.url}) in `models/{model.folder}`{renamed}"
