"""Read the size of a JPEG XL picture from its first bytes, because the plugin decodes it before Pillow can check the
size."""

from fractions import Fraction

from .picture import Size
from .plugins import JXL_CODESTREAM, JXL_CONTAINER

# Width / height of ratios 1 to 7, and bits per side by selector (ISO/IEC 18181-1, SizeHeader).
RATIOS = (
    None,
    Fraction(1),
    Fraction(6, 5),
    Fraction(4, 3),
    Fraction(3, 2),
    Fraction(16, 9),
    Fraction(5, 4),
    Fraction(2),
)
SIDE_BITS = (9, 13, 18, 30)
SMALL_BITS, SMALL_STEP = 5, 8


class _Bits:
    """Reads numbers from bytes, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        """Read the next ``count`` bits; ValueError at the end of the bytes."""
        if count > self.left:
            raise ValueError("cut off")
        number = self.value & ((1 << count) - 1)
        self.value >>= count
        self.left -= count
        return number


def jxl_size(head: bytes) -> Size | None:
    """Return width and height, before any rotation, of a file beginning with ``head``; None if it does not show
    them."""
    stream = head if head.startswith(JXL_CODESTREAM) else _codestream(head)
    if not stream.startswith(JXL_CODESTREAM):
        return None
    bits = _Bits(stream[2:16])
    try:
        small = bits.take(1) == 1
        height = _side(bits, small)
        ratio = RATIOS[bits.take(3)]
        return Size(_side(bits, small) if ratio is None else int(height * ratio), height)
    except ValueError:
        return None


def _side(bits: _Bits, small: bool) -> int:
    if small:
        return (bits.take(SMALL_BITS) + 1) * SMALL_STEP
    return bits.take(SIDE_BITS[bits.take(2)]) + 1


def _codestream(head: bytes) -> bytes:
    """Return the beginning of the codestream in a container: the content of box jxlc, or of the first jxlp."""
    place = 0
    while head.startswith(JXL_CONTAINER) and place + 8 <= len(head):
        length, kind, start = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8], place + 8
        if length == 1:
            length, start = int.from_bytes(head[start : start + 8], "big"), start + 8
        if kind in (b"jxlc", b"jxlp"):
            return head[start + (4 if kind == b"jxlp" else 0) :]
        if length < 8:
            break
        place += length
    return b""
