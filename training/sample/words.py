"""Words of a prompt that a small world never saw: all of them are one and the same unknown word to it."""

from ..base.model import Base
from ..base.world_text import WordText


def unknown_words(base: Base, *texts: str | None) -> list[str]:
    """The words of some texts that a base does not know, each once; none for a base that spells words out."""
    if not isinstance(base.text, WordText):
        return []
    return base.text.tokenizer.unknown(" ".join(text for text in texts if text))
