"""What ``check-data`` looks for in a picture file beyond whether it opens: decoders pass much damage over."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from blockyard.media.picture_files import UPRIGHT, orientation

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of the colour types of PNG."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass of an interlaced PNG the first column and row, and the steps to the next."""
PROCESSES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive frames of JPEG: what FFmpeg decodes."""


def damage(path: Path) -> str | None:
    """What is damaged in a file that can be opened, in a few words; None if nothing is found.

    Of a PNG every chunk must have its check sum, and the pixels must be all there. Of a JPEG the compressed data must
    be such as an encoder writes: most damage breaks that, a single wrong bit often doesn't. BMP, TIFF, GIF, WebP and
    PPM files hold nothing to tell damaged pixels by; a file that was cut off does not open.

    Args:
        path: The file; any other than a picture is passed over.
    """
    with path.open("rb") as file:
        start = file.read(len(PNG))
        if not start.startswith((PNG, JPEG)):
            return None
        content = start + file.read()
    try:
        return _png_damage(content) if start == PNG else _jpeg_damage(content)
    except (ValueError, IndexError, zlib.error) as error:
        return f"broken structure ({error})"


def peculiarity(path: Path) -> str | None:
    """What is worth knowing of a picture though nothing is wrong with it; None if nothing is, or it does not open."""
    try:
        with Image.open(path) as image:
            tag, pictures = orientation(image), getattr(image, "n_frames", 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    turned = [f"turned upright by its orientation tag {tag}"] if tag != UPRIGHT else []
    return "; ".join([*turned, *([f"holds {pictures} pictures, the first is read"] if pictures > 1 else [])]) or None


def _png_damage(content: bytes) -> str | None:
    data, header, names = zlib.decompressobj(), b"", []
    size = 0
    for name, body, checked in _chunks(content):
        names.append(name)
        if not checked:
            return f"chunk {name.decode('ascii', 'replace')} does not have its check sum"
        if name == b"IHDR":
            header = body
        elif name == b"IDAT" and size <= (whole := _png_size(header)):
            size += len(data.decompress(body, whole + 1 - size))
    if names[-1:] != [b"IEND"]:
        return "its end is missing"
    return None if size == _png_size(header) else f"its data hold {size} bytes of pixels, not {_png_size(header)}"


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name and content of each chunk of a PNG up to the last, and whether its check sum is right."""
    place, name = len(PNG), b""
    while name != b"IEND" and place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        end = place + 8 + length
        name, body, told = content[place + 4 : place + 8], content[place + 8 : end], content[end : end + 4]
        yield name, body, int.from_bytes(told, "big") == zlib.crc32(body, zlib.crc32(name)) and len(told) == 4
        place = end + 4


def _png_size(header: bytes) -> int:
    """Bytes of the pixels of a PNG before they are compressed, one a row more for its filter."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits = header[8] * CHANNELS.get(header[9], 0)
    passes = ADAM7 if header[12] else ((0, 0, 1, 1),)
    sizes = [(-(-(width - left) // across), -(-(height - top) // down)) for left, top, across, down in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _jpeg_damage(content: bytes) -> str | None:
    if not _known_process(content):
        return None
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    decoder.thread_count = 1
    try:
        frames = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except av.error.InvalidDataError:
        return "its compressed data are damaged"
    except av.error.FFmpegError:
        return None  # of a kind that this decoder does not know
    return None if frames else "its compressed data are damaged"


def _known_process(content: bytes) -> bool:
    """Whether a JPEG is 8-bit and baseline, extended or progressive."""
    place = 2
    while content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker in PROCESSES and content[place + 4] == 8
        place += 1 if marker == 0xFF else 2 + length
    return False
