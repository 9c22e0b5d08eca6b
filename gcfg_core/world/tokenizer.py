"""The word-level tokenizer of small worlds, in pure Python, shared by the trainer and the nodes.

A text is composed (Unicode NFC), lower-cased and split. Letters and digits of any script join into words; every other
visible character is its own word; marks stay with the character before them; spaces and control characters separate
words. The vocabulary consists of the words in a training set's captions.

For a prompt with weights, split the text by weight first, `tokenize` each part, and put begin, end and padding around
at most ``length - 2`` words; `encode` does the same for a text without weights.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConceptFileError

SPECIAL = ("<pad>", "<unknown>", "<begin>", "<end>")  # no text splits into these: each bracket is its own word
PAD, UNKNOWN, BEGIN, END = range(len(SPECIAL))
FORMAT = 1
MEND = "Copy or download the file again; a vocabulary cannot be edited by hand."


def normalize(text: str) -> str:
    """Return the text composed and in lower case: "É", "é" and "e" with a combining accent become the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def split_words(text: str) -> list[str]:
    """Split a text into words and punctuation marks, in order, each as `normalize` returns it."""
    words: list[str] = []
    extends = joins = False  # whether a mark, and whether a letter, would join the last word
    for character in normalize(text):
        kind = unicodedata.category(character)[0]
        if kind in "ZC":
            extends = joins = False
            continue
        if (kind == "M" and extends) or (kind in "LN" and joins):
            words[-1] += character
        else:
            words.append(character)
            joins = kind in "LNM"
        extends = True
    return words


@dataclass(frozen=True)
class WordTokenizer:
    """A vocabulary, and the number of tokens of every encoded text.

    Attributes:
        words: the word of each id; the first four are `SPECIAL`.
        length: tokens of an encoded text, with begin, end and padding.

    Raises:
        ConceptFileError: the words are not a valid vocabulary, or the length leaves no room for a word.
    """

    words: tuple[str, ...]
    length: int
    ids: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.words, self.length)
        object.__setattr__(self, "ids", {word: number for number, word in enumerate(self.words)})

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.words)

    def tokenize(self, text: str) -> list[tuple[int, str]]:
        """Return (id, word) for every word of a text; an unknown word keeps its spelling and gets the id `UNKNOWN`.

        The list has no begin, end or padding.
        """
        return [(self.ids.get(word, UNKNOWN), word) for word in split_words(text)]

    def encode(self, text: str) -> list[int]:
        """Return ``length`` ids: begin, as many words as fit, end, padding."""
        ids = [BEGIN, *(number for number, _ in self.tokenize(text)[: self.length - 2]), END]
        return ids + [PAD] * (self.length - len(ids))

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that are not in the vocabulary, in order, each once."""
        return list(dict.fromkeys(word for number, word in self.tokenize(text) if number == UNKNOWN))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads."""
        return {"format": FORMAT, "length": self.length, "words": list(self.words)}

    @classmethod
    def from_json(cls, value: object) -> "WordTokenizer":
        """Build the tokenizer from the object that `to_json` returned.

        Raises:
            ConceptFileError: the value does not have exactly those keys and types.
        """
        if not isinstance(value, Mapping) or set(value) != {"format", "length", "words"}:
            raise ConceptFileError("vocabulary", "format, length and words", _described(value), MEND)
        if type(value["format"]) is not int or value["format"] != FORMAT:
            raise ConceptFileError("vocabulary", f"format {FORMAT}", repr(value["format"]), "Update this node pack.")
        if not isinstance(value["words"], list):
            raise ConceptFileError("vocabulary: words", "a list", _described(value["words"]), MEND)
        return cls(tuple(value["words"]), value["length"])


def word_tokenizer(captions: Iterable[str], length: int, limit: int | None = None) -> WordTokenizer:
    """Build a tokenizer from the words of captions, the most frequent first, ties in code point order.

    Args:
        captions: in any order.
        length: tokens of an encoded text.
        limit: largest number of ids, the special ones included; rarer words become unknown. None: no limit.

    Raises:
        ConceptFileError: ``length`` or ``limit`` is too small.
    """
    if limit is not None and limit <= len(SPECIAL):
        raise ConceptFileError("vocabulary limit", f"more than {len(SPECIAL)}", str(limit), "Leave room for words.")
    counts = Counter(word for caption in captions for word in split_words(caption))
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return WordTokenizer((*SPECIAL, *ordered)[:limit], length)


def _check(words: tuple[Any, ...], length: Any) -> None:
    if type(length) is not int or length < 3:
        raise ConceptFileError("vocabulary: length", "a whole number of at least 3", repr(length), MEND)
    if words[: len(SPECIAL)] != SPECIAL:
        raise ConceptFileError("vocabulary: words", f"{', '.join(SPECIAL)} first", repr(words[: len(SPECIAL)]), MEND)
    seen: set[str] = set()
    for word in words[len(SPECIAL) :]:
        if not isinstance(word, str) or split_words(word) != [word]:
            raise ConceptFileError("vocabulary: words", "single words in lower case", repr(word), MEND)
        if word in seen:
            raise ConceptFileError("vocabulary: words", "each word once", f"{word!r} twice", MEND)
        seen.add(word)


def _described(value: object) -> str:
    """Describe a value for an error message: the keys of an object, or else its type."""
    return f"the keys {', '.join(sorted(map(str, value)))}" if isinstance(value, Mapping) else type(value).__name__
