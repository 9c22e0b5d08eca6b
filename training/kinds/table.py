"""The table of kinds, by their names in the settings."""

from gcfg_core.errors import InputError

from ..settings.config import READS_TEXT
from .kind import Kind
from .lora import NullTextLora
from .null_text import NullText
from .text import Text

KINDS: dict[str, Kind] = {"null-text": NullText(), "null-text-lora": NullTextLora(), "text": Text()}
assert KINDS.keys() == READS_TEXT.keys(), "every choice of the setting needs a kind"


def kind_of(name: str) -> Kind:
    """Return the kind with this name.

    Raises:
        InputError: no kind has this name.
    """
    if name not in KINDS:
        raise InputError("kind", " or ".join(KINDS), repr(name), "Choose from these.")
    return KINDS[name]
