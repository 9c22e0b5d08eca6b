"""The part of a text that a base does not read: unknown words in a small world, and tokens beyond its limit."""

from collections.abc import Sequence

from ..base.clip import ClipText
from ..base.model import Base
from ..base.world_text import WordText


def unknown_words(base: Base, *texts: str | None) -> list[str]:
    """Return the distinct words that a small world does not know; [] for other bases. A small world maps all of them to
    one unknown word."""
    if not isinstance(base.text, WordText):
        return []
    return base.text.tokenizer.unknown(" ".join(text for text in texts if text))


def cut_texts(base: Base, texts: Sequence[str]) -> tuple[int, dict[int, int]]:
    """Return a base's token limit (begin and end included), and the token count of each longer text by its index; (0,
    {}) for a base that reads no text."""
    limit, lengths = 0, [0] * len(texts)
    if isinstance(base.text, WordText):
        tokenizer = base.text.tokenizer
        limit, lengths = tokenizer.length, [len(tokenizer.tokenize(text)) + 2 for text in texts]
    elif isinstance(base.text, ClipText) and base.text.has_tokenizers:
        encoder = base.text.encoders[0]
        limit, rows = encoder.length, encoder.tokenizer(list(texts), truncation=False, verbose=False).input_ids
        lengths = [len(row) for row in rows]
    return limit, {place: length for place, length in enumerate(lengths) if length > limit}
