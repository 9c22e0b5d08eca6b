"""Check that a concept can be mixed with a base: the same family, ideally trained from this base."""

from collections.abc import Mapping
from typing import Any

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.families import family_of, layout_of
from gcfg_core.concept.lora import LoraConcept
from gcfg_core.errors import InputError

from ..base.model import Base
from ..export.facts import base_hash, base_line
from ..kinds.checks import GIVE


def check_family(concept: Concept | LoraConcept, base: Base, name: str) -> None:
    """Raise InputError if a concept is of another family than the base.

    Args:
        concept: the concept read from a file.
        base: the base to mix it with.
        name: the concept file's name, for the message.
    """
    mine, theirs = layout_of(concept.config), layout_of(base.config)
    for what, got, wanted in (
        ("latent channels", mine.in_channels, theirs.in_channels),
        ("output channels", mine.out_channels, theirs.out_channels),
    ):
        if got != wanted:
            raise InputError(name, f"a concept with the base's {wanted} {what}", str(got), GIVE)
    if concept.latent_format and concept.latent_format != base.latent_format:
        raise InputError(name, f"a concept of the base's latents, {base.latent_format}", concept.latent_format, GIVE)
    if concept.vae and concept.vae != base.vae:
        raise InputError(name, "a concept of the base's VAE", "one of another VAE, whose latents differ", GIVE)
    if (got := family_of(concept.config).name) != (wanted := family_of(base.config).name):
        raise InputError(name, f"a concept of the base's family, {wanted}", got, GIVE)
    if mine.context_dim != theirs.context_dim:
        expected = f"a concept whose text features are {theirs.context_dim} wide, as the base's"
        raise InputError(name, expected, str(mine.context_dim), GIVE)


def other_base(noted: str, base: Base, name: str) -> str | None:
    """Return a sentence if a concept was trained from other weights than the base's, else None.

    Args:
        noted: name and hash of its base, as recorded; without a hash nothing is compared.
        base: the base to mix it with.
        name: the concept's name, for people.
    """
    if base_hash(noted) in (None, base.sha256):
        return None
    return f"{name} was trained from another base: {noted}; this is {base_line(base)}"


def base_of_record(record: Mapping[str, Any]) -> str:
    """Return a run's base from run.json, formatted as in a concept file."""
    base = record.get("base")
    return f"{base.get('name')} (sha256 {base.get('sha256')})" if isinstance(base, Mapping) else ""
