"""Choose the variant of each part's weights in a diffusers folder, for example
diffusion_pytorch_model.fp16.safetensors."""

from pathlib import Path

from torch import Tensor

from gcfg_core.errors import InputError

from .weights import folder_tensors, folder_variants

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


class Variants:
    """Reads the parts of a folder, each in one variant.

    Args:
        folder: the model's folder.
        wanted: variant that the user named, used for each part that has it, as in diffusers; None: files without a
            variant's name, else the most precise variant.

    Raises:
        InputError: no part has this variant.
    """

    def __init__(self, folder: Path, wanted: str | None) -> None:
        self.folder = folder
        self.wanted = wanted
        self._chosen: dict[str, str] = {}
        if wanted is not None:
            there = {name for part in PARTS if (folder / part).is_dir() for name in folder_variants(folder / part)}
            if wanted not in there:
                named = ", ".join(sorted(there - {""})) or "none"
                raise InputError(f"variant of {folder.name}", named, repr(wanted), "Name an existing variant.")

    def tensors(self, part: str) -> dict[str, Tensor]:
        """Return the weights of a part.

        Raises:
            InputError: the weights are missing or cannot be used.
        """
        there = folder_variants(self.folder / part)
        chosen = self.wanted if self.wanted in there else there[0]
        self._chosen[part] = chosen
        return folder_tensors(self.folder / part, chosen)

    def notes(self) -> tuple[str, ...]:
        """Return a note if parts were read from a variant that nobody chose."""
        named = ", ".join(f"{part} {variant}" for part, variant in self._chosen.items() if variant)
        return (f"weights by variant: {named} (--variant chooses another)",) if named and self.wanted is None else ()
