"""Screenshots of a phone, drawn without a download: PNG, each with pixels of its own. Pure."""

import base64
import struct
import zlib
from dataclasses import dataclass
from random import Random
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PIXEL: Final = 3
#: Rows at the bottom that differ from picture to picture, so that no engine finds it in its cache of images.
_OWN_ROWS: Final = 4
_ROW_HEIGHT: Final = 60
_CARDS: Final = 24


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def parse_size(text: str) -> Size:
    """Read `1080x2400`.

    Raises:
        ValueError: it is none, or too small or large for a screen.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 1 <= int(width) <= 8192 and 8 <= int(height) <= 8192):  # noqa: PLR2004
        raise ValueError(f"{text!r} is not the size of a screen; expected such as 1080x2400")
    return Size(int(width), int(height))


class Screenshots:
    """Draws screenshots of one size.

    The upper part is compressed once for each screen and kept in the compressor's state: one more picture costs the
    few rows that are its own, well under a millisecond, which would otherwise make requests late.

    Args:
        size: of the pictures.
        seed: the same seed draws the same pictures.
        screens: number of different upper parts.
    """

    def __init__(self, size: Size, seed: int, screens: int = 8) -> None:
        self._size = size
        self._seed = seed
        self._begun = [_begin(size, Random(f"screen/{seed}/{number}")) for number in range(screens)]

    def data_url(self, number: int) -> str:
        """Return picture `number` as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.png(number)).decode()

    def png(self, number: int) -> bytes:
        """Return picture `number`."""
        begin, compressor = self._begun[number % len(self._begun)]
        own = compressor.copy()
        rng = Random(f"picture/{self._seed}/{number}")
        row = b"\0" + rng.randbytes(self._size.width * _PIXEL)
        data = begin + own.compress(row + (b"\0" + bytes(self._size.width * _PIXEL)) * (_OWN_ROWS - 1)) + own.flush()
        header = struct.pack(">IIBBBBB", self._size.width, self._size.height, 8, 2, 0, 0, 0)
        return _SIGNATURE + _part(b"IHDR", header) + _part(b"IDAT", data) + _part(b"IEND", b"")


def _begin(size: Size, rng: Random) -> tuple[bytes, "zlib._Compress"]:
    """Draw a status bar and cards of plain colours, down to the rows that each picture has for itself."""
    compressor = zlib.compressobj(level=1)
    colours = [rng.randbytes(_PIXEL) for _ in range(_CARDS)]
    parts = []
    for top in range(0, size.height - _OWN_ROWS, _ROW_HEIGHT):
        left, right = rng.choice(colours), rng.choice(colours)
        split = rng.randrange(size.width)
        row = b"\0" + left * split + right * (size.width - split)
        parts.append(compressor.compress(row * min(_ROW_HEIGHT, size.height - _OWN_ROWS - top)))
    return b"".join(parts), compressor


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
