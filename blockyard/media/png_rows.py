"""A PNG written a few rows at a time: pictures that are never whole in memory."""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOURS, PALETTE = 0, 2, 3
"""Colour types of PNG."""
AT_ONCE = 1 << 20
"""Compressed bytes that are gathered for a chunk."""


class PNGRows:
    """A PNG that grows from the top: grey of 8 or 16 bits, colours of 8, or 8-bit indices with a palette.

    Args:
        file: Open for writing; closing it is the caller's.
        size: Height and width.
        dtype: Of the values, uint8 or uint16.
        channels: 1, or 3 for colours.
        palette: Colours ``(n, 3)`` of up to 256 indices; None for values that are brightness.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: tuple[int, int],
        dtype: Any = np.uint8,
        channels: int = 1,
        palette: NDArray[np.uint8] | None = None,
    ) -> None:
        self.file, self.dtype = file, np.dtype(dtype).newbyteorder(">")
        self._compressor, self._ready = zlib.compressobj(), bytearray()
        kind = PALETTE if palette is not None else COLOURS if channels == 3 else GREY
        file.write(SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], 8 * self.dtype.itemsize, kind, 0, 0, 0))
        if palette is not None:
            self._chunk(b"PLTE", palette.tobytes())

    def write(self, rows: NDArray[Any]) -> None:
        """Add rows ``(h, W)`` or ``(h, W, 3)`` below those that are there."""
        values = np.ascontiguousarray(rows, self.dtype).reshape(len(rows), -1).view(np.uint8)
        unfiltered = np.zeros((len(values), 1), np.uint8)  # the first byte of each row
        self._ready += self._compressor.compress(np.hstack([unfiltered, values]).tobytes())
        if len(self._ready) >= AT_ONCE:
            self._flush()

    def close(self) -> None:
        """End the picture, all rows being there."""
        self._ready += self._compressor.flush()
        self._flush()
        self._chunk(b"IEND", b"")

    def _flush(self) -> None:
        self._chunk(b"IDAT", bytes(self._ready))
        self._ready.clear()

    def _chunk(self, name: bytes, content: bytes) -> None:
        checked = name + content
        self.file.write(struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked)))
