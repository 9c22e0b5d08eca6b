"""The kinds of concept that can be trained, by the names that the settings have."""

from gcfg_core.errors import InputError

from ..settings.config import READS_TEXT
from .kind import Kind
from .lora import NullTextLora
from .null_text import NullText
from .text import Text

KINDS: dict[str, Kind] = {"null-text": NullText(), "null-text-lora": NullTextLora(), "text": Text()}
assert KINDS.keys() == READS_TEXT.keys(), "a kind for each choice of the setting"


def kind_of(name: str) -> Kind:
    """The kind of a name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in KINDS:
        raise InputError("kind", " or ".join(KINDS), repr(name), "Name one of them.")
    return KINDS[name]
