"""The word-level tokenizer: closed forms, unknown words, every script, and a vocabulary that is read strictly."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcfg_core.errors import ConceptFileError
from gcfg_core.world.tokenizer import BEGIN, END, PAD, SPECIAL, UNKNOWN, WordTokenizer, split_words, word_tokenizer

CAPTIONS = ["A red face, smiling", "a blue face", "A red hat"]  # a: 3; face, red: 2; the rest once


def test_words_are_ordered_by_frequency_then_alphabet() -> None:
    assert word_tokenizer(CAPTIONS, 6).words == (*SPECIAL, "a", "face", "red", ",", "blue", "hat", "smiling")


def test_the_order_of_captions_does_not_matter() -> None:
    assert word_tokenizer(CAPTIONS[::-1], 6) == word_tokenizer(CAPTIONS, 6)


def test_a_text_becomes_begin_words_end_and_padding() -> None:
    tokenizer = word_tokenizer(CAPTIONS, 6)
    assert tokenizer.encode("Blue hat") == [BEGIN, 8, 9, END, PAD, PAD]
    assert tokenizer.encode("") == [BEGIN, END, PAD, PAD, PAD, PAD]


def test_a_long_text_is_cut_before_its_end_token() -> None:
    assert word_tokenizer(CAPTIONS, 5).encode("a red face, smiling") == [BEGIN, 4, 6, 5, END]


def test_unknown_words_keep_their_spelling() -> None:
    tokenizer = word_tokenizer(CAPTIONS, 6)
    assert tokenizer.tokenize("a Purple hat, purple") == [
        (4, "a"), (UNKNOWN, "purple"), (9, "hat"), (7, ","), (UNKNOWN, "purple"),
    ]  # fmt: skip
    assert tokenizer.unknown("a Purple hat, purple cat") == ["purple", "cat"]


def test_tokenize_gives_every_word_however_many() -> None:
    assert len(word_tokenizer(CAPTIONS, 3).tokenize("a " * 100)) == 100


def test_a_limit_makes_the_rarest_words_unknown() -> None:
    tokenizer = word_tokenizer(CAPTIONS, 6, limit=6)
    assert tokenizer.words == (*SPECIAL, "a", "face")
    assert tokenizer.tokenize("red") == [(UNKNOWN, "red")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't  stop!", ["don", "'", "t", "stop", "!"]),
        ("pixel-art (16x16)", ["pixel", "-", "art", "(", "16x16", ")"]),
        ("CAF\u00c9 cafe\u0301", ["caf\u00e9", "caf\u00e9"]),
        ("\u0928\u092e\u0938\u094d\u0924\u0947", ["\u0928\u092e\u0938\u094d\u0924\u0947"]),  # Devanagari with marks
        ("\u7b11\u9854\u3002", ["\u7b11\u9854", "\u3002"]),
        ("\u2764\ufe0f\U0001f600", ["\u2764\ufe0f", "\U0001f600"]),
        ("a\u200bb\tc\u00a0d\x00e", ["a", "b", "c", "d", "e"]),
        ("<pad> <end>", ["<", "pad", ">", "<", "end", ">"]),
    ],
)
def test_texts_split_into_words_and_marks(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text(max_size=40))
def test_any_text_encodes_the_same_composed_or_not_and_splits_once(text: str) -> None:
    tokenizer = word_tokenizer([text, *CAPTIONS], 12)
    ids = tokenizer.encode(text)
    assert len(ids) == 12 and ids[0] == BEGIN and ids.count(END) == 1 and UNKNOWN not in ids
    assert tokenizer.encode(unicodedata.normalize("NFD", text)) == ids
    assert [word for part in split_words(text) for word in split_words(part)] == split_words(text)


@given(st.lists(st.text(max_size=20), max_size=5))
def test_every_vocabulary_goes_through_json(captions: list[str]) -> None:
    tokenizer = word_tokenizer(captions, 7)
    assert WordTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json()))) == tokenizer


GOOD = {"format": 1, "length": 6, "words": [*SPECIAL, "a"]}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        {**GOOD, "more": 1},
        {**GOOD, "format": 2},
        {**GOOD, "format": True},
        {**GOOD, "length": 2},
        {**GOOD, "length": "6"},
        {**GOOD, "words": "abc"},
        {**GOOD, "words": ["a"]},
        {**GOOD, "words": [*SPECIAL, "a", "a"]},
        {**GOOD, "words": [*SPECIAL, "A"]},
        {**GOOD, "words": [*SPECIAL, "two words"]},
        {**GOOD, "words": [*SPECIAL, ""]},
        {**GOOD, "words": [*SPECIAL, 4]},
        {**GOOD, "words": [*SPECIAL, "cafe\u0301"]},
    ],
)
def test_anything_else_than_a_vocabulary_is_refused_in_one_line(bad: object) -> None:
    with pytest.raises(ConceptFileError) as error:
        WordTokenizer.from_json(bad)
    assert "\n" not in str(error.value) and "vocabulary" in str(error.value)


@pytest.mark.parametrize("sizes", [{"length": 2}, {"length": 6, "limit": 4}])
def test_sizes_without_room_for_a_word_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ConceptFileError):
        word_tokenizer(CAPTIONS, **sizes)
