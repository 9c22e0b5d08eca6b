"""The description of a small world, world.json, and the names of the files beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..concept.metadata import PREDICTION_TYPES
from ..concept.pixel_latents import PIXEL_FORMATS
from ..concept.world_latents import TINY_FORMATS
from ..errors import ConceptFileError

WORLD, UNET, TEXT, VAE, CARD = (
    "world.json", "unet.safetensors", "text_encoder.safetensors", "vae.safetensors", "README.md"
)  # fmt: skip
FORMATS = {"pixels": 1, "tiny-autoencoder": 2}  # version of the page by its codec
# Noise levels of every world: Stable Diffusion's, the only noise schedule that a format 1 concept file can describe.
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}
TYPES = {str: "a text", int: "a whole number", bool: "true or false", dict: "an object"}
AGAIN = "Copy or download the world again."


@dataclass(frozen=True)
class WorldPage:
    """The contents of world.json.

    Attributes:
        title: a name for people.
        resolution: side of its pictures in pixels.
        latent_format: one of `world_latents.WORLD_FORMATS`.
        prediction_type: "epsilon" or "v_prediction".
        zero_terminal_snr: the noise schedule was rescaled to zero terminal SNR (arXiv 2305.08891).
        unet, text_encoder, vae: digests (`tensor_digest.digest_of`) of the world's weights; files with other weights
            are refused. The last is empty if the latents are pixels, which need no VAE.
    """

    title: str
    resolution: int
    latent_format: str
    prediction_type: str
    zero_terminal_snr: bool
    unet: str
    text_encoder: str
    vae: str = ""

    @property
    def codec(self) -> str:
        """What makes latents of pictures: a key of `FORMATS`."""
        return "tiny-autoencoder" if self.vae else "pixels"

    @property
    def block(self) -> int:
        """Side in pixels of the block that one latent position holds; only without a VAE."""
        return next(block for block, name in PIXEL_FORMATS.items() if name == self.latent_format)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `parse_world_page` reads."""
        return {
            "format": FORMATS[self.codec],
            "title": self.title,
            "resolution": self.resolution,
            "codec": self.codec,
            "latent_format": self.latent_format,
            "schedule": {
                **SCHEDULE,
                "prediction_type": self.prediction_type,
                "zero_terminal_snr": self.zero_terminal_snr,
            },
            "unet": self.unet,
            "text_encoder": self.text_encoder,
            **({"vae": self.vae} if self.vae else {}),
        }


def read_world_page(folder: Path) -> WorldPage:
    """Read world.json of a world's folder.

    Raises:
        ConceptFileError: the file is missing, damaged, or of a newer format.
    """
    try:
        given = json.loads((folder / WORLD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConceptFileError.saying(WORLD, f"The file is missing. Is the folder complete? {AGAIN}") from None
    except (ValueError, OSError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ConceptFileError.saying(WORLD, f"The file is not a JSON object. {AGAIN}")
    return parse_world_page(given)


def parse_world_page(given: Mapping[str, Any]) -> WorldPage:
    """Convert the object that `WorldPage.to_json` returned back to a WorldPage.

    Raises:
        ConceptFileError: a value is invalid; the error names the first.
    """
    newest = max(FORMATS.values())
    version = given.get("format", 1)
    if type(version) is int and version > newest:
        remedy = "Update this node pack: the world was made by a later version of it."
        raise ConceptFileError(f"{WORLD}: format", f"format {newest}", f"the newer format {version}", remedy)
    given = {"format": 1, "codec": "pixels", **given}
    codec = given["codec"] if given["codec"] in [*FORMATS] else "pixels"
    formats, parts = (PIXEL_FORMATS, {}) if codec == "pixels" else (TINY_FORMATS, {"vae": str})
    _check(given, "", {
        "format": (FORMATS[codec],), "title": str, "resolution": int, "codec": tuple(FORMATS),
        "latent_format": tuple(formats.values()), "schedule": dict, "unet": str, "text_encoder": str, **parts,
    })  # fmt: skip
    if parts and not given["vae"]:
        raise ConceptFileError(f"{WORLD}: vae", "a hash", "an empty text", AGAIN)
    if given["resolution"] < 1:
        raise ConceptFileError(f"{WORLD}: resolution", "a number above 0", str(given["resolution"]), AGAIN)
    schedule = given["schedule"]
    _check(schedule, "schedule.", {
        **{key: (value,) for key, value in SCHEDULE.items()},
        "prediction_type": tuple(PREDICTION_TYPES), "zero_terminal_snr": bool,
    })  # fmt: skip
    return WorldPage(
        **{key: given[key] for key in ("title", "resolution", "latent_format", "unet", "text_encoder", *parts)},
        **{key: schedule[key] for key in ("prediction_type", "zero_terminal_snr")},
    )


def _check(given: Mapping[str, Any], path: str, known: Mapping[str, type | tuple[Any, ...]]) -> None:
    """Raise unless ``given`` has exactly the known keys, each with a value of its type or one of its allowed values."""
    for key, wanted in known.items():
        value = given.get(key)
        fits = type(value) is wanted if isinstance(wanted, type) else value in wanted
        if not fits:
            expected = TYPES[wanted] if isinstance(wanted, type) else " or ".join(map(str, wanted))
            got = repr(value)[:60] if key in given else "no value"
            raise ConceptFileError(f"{WORLD}: {path}{key}", expected, got, AGAIN)
    odd = sorted(set(given) - set(known))
    if odd:
        text = f"This key is unknown; the keys are {', '.join(known)}. {AGAIN}"
        raise ConceptFileError.saying(f"{WORLD}: {path}{odd[0]}", text)
