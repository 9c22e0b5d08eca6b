"""Draw the miniature world's pictures into folders for the trainer: PNG files, metadata.jsonl, ATTRIBUTION.md."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..durable import write_bytes
from .draw import draw
from .labelled import METADATA
from .pictures import Picture, pictures
from .styles import OPEN, PIXEL, SOURCES, TOON

SIDE = 32
SHIPPED = ("toon/train", "toon/test", "pixel/train", "pixel/test", "open/test")


@dataclass(frozen=True)
class PictureCounts:
    """Numbers of pictures: per face style and per other style of the open world, per concept, and per test split."""

    faces: int = 2000
    others: int = 600
    concept: int = 1500
    tests: int = 1000


def splits(counts: PictureCounts) -> dict[str, list[Picture]]:
    """Return the pictures of every folder, by folder name.

    Half of the open world's captions say only "a face", so that prompts need not name a style. A concept's captions
    never name a style; only the model fine-tuned with captions reads them.
    """
    found: dict[str, list[Picture]] = {"open/train": [], "open/test": []}
    for style in OPEN:
        count = counts.faces if style.is_face else counts.others
        found["open/train"] += pictures(style, count, "train", names_style=0.5)
        found["open/test"] += pictures(style, max(1, count * counts.tests // (10 * counts.faces)), "test", 0.5)
    for name, style in (("toon", TOON), ("pixel", PIXEL)):
        found[f"{name}/train"] = pictures(style, counts.concept, "train", names_style=0.0)
        found[f"{name}/test"] = pictures(style, counts.tests, "test", names_style=0.0)
    return found


def make(folder: Path, counts: PictureCounts, side: int = SIDE) -> str:
    """Draw every picture into ``folder``; return the SHA-256 of all pixels and captions.

    Raises:
        InputError: raised by `draw.draw`.
        OSError: writing failed.
    """
    digest = hashlib.sha256()
    for name, wanted in splits(counts).items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        rows = []
        for index, (picture, image) in enumerate(zip(wanted, tqdm(draw(wanted, side), name, len(wanted)), strict=True)):
            file = f"{index:05}.png"
            image.save(folder / name / file)
            rows.append(json.dumps({"file_name": file, "text": picture.caption, "style": picture.style.name,
                                    **picture.attributes}))  # fmt: skip
            digest.update(image.tobytes() + rows[-1].encode())
        write_bytes(folder / name / METADATA, ("\n".join(rows) + "\n").encode())
    write_bytes(folder / "ATTRIBUTION.md", attribution().encode())
    return digest.hexdigest()


def pack(folder: Path, archive: Path) -> None:
    """Pack the concepts' pictures into an archive; equal pictures give equal bytes.

    Raises:
        OSError: writing failed.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for part in SHIPPED:
            for path in sorted((folder / part).iterdir()):
                kind = zipfile.ZIP_DEFLATED if path.name == METADATA else zipfile.ZIP_STORED  # PNG is compressed
                packed.writestr(zipfile.ZipInfo(f"{part}/{path.name}"), path.read_bytes(), kind)
        packed.writestr(zipfile.ZipInfo("ATTRIBUTION.md"), attribution())


def attribution() -> str:
    """Return a text about the artists and licences of the drawings."""
    lines = [f"- {style.art}, <{SOURCES[style.name]}>" for style in (TOON, PIXEL, *OPEN)]
    return "\n".join([
        "# The drawings",
        "",
        "Made with [DiceBear](https://www.dicebear.com) 9.4.3 (code: MIT) from these drawings. Colours of background,",
        "skin and hair were set to a few fixed ones, and the drawings reduced to 32 x 32 pixels.",
        "",
        *lines,
        "",
    ])  # fmt: skip
