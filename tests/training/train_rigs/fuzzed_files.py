"""Files that a folder of pictures should not have, and a few that it may."""

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .pictures import noise_image

FORMATS = {
    "png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "tiff": "TIFF", "bmp": "BMP", "tga": "TGA",
    "ppm": "PPM", "jp2": "JPEG2000", "avif": "AVIF", "ico": "ICO", "qoi": "QOI", "sgi": "SGI", "pcx": "PCX",
}  # fmt: skip
Made = tuple[str, bytes]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _image(rng: random.Random, mode: str = "RGB") -> Image.Image:
    return noise_image(rng.randint(8, 48), rng.randint(8, 48), rng.getrandbits(30), mode)


def _whole(rng: random.Random) -> Made:
    ending, kind = rng.choice(sorted(FORMATS.items()))
    return f"whole.{ending}", encoded(_image(rng), kind)


def _truncated(rng: random.Random) -> Made:
    name, data = _whole(rng)
    return f"cut-{name}", data[: rng.randrange(len(data))]


def _flipped_bytes(rng: random.Random) -> Made:
    name, data = _whole(rng)
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 20)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return f"damaged-{name}", bytes(damaged)


def _wrong_ending(rng: random.Random) -> Made:
    return f"wrong.{rng.choice(['jpg', 'png', 'txt', 'mp4', ''])}", _whole(rng)[1]


def _zeros(rng: random.Random) -> Made:
    return f"zeros.{rng.choice(sorted(FORMATS))}", bytes(rng.choice([0, 1, 100, 5000]))


def _random_bytes(rng: random.Random) -> Made:
    return f"random.{rng.choice(sorted(FORMATS))}", rng.randbytes(rng.randint(1, 3000))


def _text(rng: random.Random) -> Made:
    return "text.jpg", f"no picture, number {rng.random()}\n".encode()


def png_header(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG that promises much and holds a few zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _huge(rng: random.Random) -> Made:
    return rng.choice([
        ("huge.png", png_header(rng.randint(20000, 2**31 - 1), rng.randint(20000, 2**31 - 1))),
        ("huge.gif", b"GIF89a" + struct.pack("<HH", 65535, 65535) + rng.randbytes(200)),
        ("huge.bmp", b"BM" + struct.pack("<IHHIIiiHHIIIIII", 100, 0, 0, 54, 40, 99999, 99999, 1, 24, *[0] * 6)),
        ("huge.ppm", b"P6 90000 90000 255\n" + rng.randbytes(100)),
    ])  # fmt: skip


def _cmyk(rng: random.Random) -> Made:
    return rng.choice([("cmyk.jpg", encoded(_image(rng, "CMYK"), "JPEG")),
                       ("cmyk.tif", encoded(_image(rng, "CMYK"), "TIFF"))])  # fmt: skip


def _wide(rng: random.Random) -> Made:
    values = np.random.default_rng(rng.getrandbits(30)).integers(0, 65536, (20, 30))
    kind, dtype = rng.choice([("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32), ("TIFF", np.float32)])
    return f"wide.{kind.lower()}", encoded(Image.fromarray(values.astype(dtype)), kind)


def _animated(rng: random.Random) -> Made:
    frames = [noise_image(24, 16, rng.getrandbits(30), "RGB") for _ in range(3)]
    ending, kind = rng.choice([("gif", "GIF"), ("webp", "WEBP"), ("png", "PNG"), ("avif", "AVIF"), ("tif", "TIFF")])
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    return f"animated.{ending}", data[: rng.choice([len(data), rng.randrange(len(data))])]


def _transparent(rng: random.Random) -> Made:
    image = _image(rng, "P")
    mode = rng.choice(["P", "bytes", "LA", "RGBA", "1", "PA"])
    if mode in ("P", "bytes"):
        return "palette.png", encoded(image, "PNG", transparency=3 if mode == "P" else rng.randbytes(256))
    if mode == "PA":
        return "palette.tif", encoded(image.convert("PA"), "TIFF")
    return f"{mode}.png", encoded(image.convert("RGBA").convert(mode), "PNG")


def _turned(rng: random.Random) -> Made:
    exif = Image.Exif()
    exif[0x0112] = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
    block = exif.tobytes()
    if rng.random() < 0.5:
        block = b"Exif\0\0" + rng.randbytes(rng.randint(0, 60))
    ending, kind = rng.choice([("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
    return f"exif.{ending}", encoded(_image(rng), kind, exif=block)


def _profile(rng: random.Random) -> Made:
    return "profile.png", encoded(_image(rng, rng.choice(["RGB", "L"])), "PNG", icc_profile=rng.randbytes(300))


def _tiny(rng: random.Random) -> Made:
    return "tiny.png", encoded(noise_image(1, rng.choice([1, 500]), rng.getrandbits(30)), "PNG")


def _long_name(rng: random.Random) -> Made:
    name = rng.choice(["e\u0301" * 60, "\u732b" * 60, "a" * 180, "new\nline", "\U0001f408", "-rf", "a\u202eb", " "])
    return f"{name}.png", encoded(_image(rng), "PNG")


KINDS: tuple[Callable[[random.Random], Made], ...] = (
    _whole, _truncated, _truncated, _truncated, _flipped_bytes, _flipped_bytes, _wrong_ending, _zeros, _random_bytes,
    _text, _huge, _cmyk, _wide, _animated, _transparent, _turned, _profile, _tiny, _long_name,
)  # fmt: skip


def fuzz_folder(folder: Path, count: int, seed: int) -> list[Path]:
    """``count`` files in folders of 50; the kinds take turns."""
    rng = random.Random(seed)
    paths = []
    for number in range(count):
        name, data = KINDS[number % len(KINDS)](rng)
        place = folder / f"{number // 50:02}"
        place.mkdir(parents=True, exist_ok=True)
        paths.append(place / f"{number:03} {name}")
        paths[-1].write_bytes(data)
    return paths


def bad_neighbours(folder: Path) -> list[Path]:
    """What is no file at all: a pipe, links to nothing and to itself, a name that is not UTF-8."""
    os.mkfifo(folder / "pipe.png")
    (folder / "nowhere.png").symlink_to(folder / "missing.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "around").symlink_to(folder, target_is_directory=True)
    odd = os.path.join(os.fsencode(folder), b"latin-\xe9.png")
    with open(odd, "wb") as file:
        file.write(encoded(noise_image(20, 20, 999), "PNG"))
    return [folder / "pipe.png", folder / "nowhere.png", folder / "loop.png", Path(os.fsdecode(odd))]
