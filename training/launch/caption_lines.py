"""Lines for the run's summary about captions that the model does not read, or reads only in part."""

from collections.abc import Sequence
from itertools import chain

from gcfg_core.errors import some

from ..base.model import Base
from ..data.picture import Picture, printable
from ..sample.words import cut_texts, unknown_words
from ..settings.config import RunConfig

UNREAD = "the model learns to draw these pictures under the empty prompt alone"


def caption_lines(config: RunConfig, base: Base, pictures: Sequence[Picture]) -> list[str]:
    """Return lines about captions that are not read, have unknown words, or are too long.

    Args:
        pictures: all pictures of the scan, including held-out pictures.
    """
    asked = config.data.captions != "none"
    if not config.model.reads_text:
        why = f"a {config.model.kind} model learns from pictures alone; --kind text reads captions"
        return [f"captions  are not read: {why}"] if asked else []
    captioned = {picture.name: picture.caption for picture in pictures if asked and picture.caption}
    if not captioned:
        return [f"captions  {'no picture has any' if asked else 'none are read'}: {UNREAD}"]
    return [*_unknown(base, captioned), *_cut(base, captioned)]


def _unknown(base: Base, captioned: dict[str, str]) -> list[str]:
    unknown = [words for caption in captioned.values() if (words := unknown_words(base, caption))]
    if not unknown:
        return []
    shown = some([*map(repr, dict.fromkeys(chain.from_iterable(unknown)))], 10)
    return [f"captions  {len(unknown)} of {len(captioned)} with words that {base.name} does not know: {shown}"]


def _cut(base: Base, captioned: dict[str, str]) -> list[str]:
    limit, lengths = cut_texts(base, list(captioned.values()))
    if not lengths:
        return []
    names = list(captioned)
    shown = some([f"{printable(names[index])} with {length}" for index, length in lengths.items()])
    return [f"captions  {len(lengths)} of {len(names)} are cut, being longer than {limit} tokens: {shown}"]
