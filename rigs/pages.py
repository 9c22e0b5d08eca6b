"""The pages that people read."""

from pathlib import Path


def base_of(page: Path, root: Path) -> Path:
    """Return the folder that a page's links start at: ComfyUI reads those of translated help pages from web/docs.

    Args:
        page: the page.
        root: of the project, or of a copy.
    """
    docs = root / "web" / "docs"
    return docs if page.is_relative_to(docs) else page.parent
