"""What compressed streams say of their length, and from where on their samples can be trusted after a seek."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

LARGEST_PAGE = 65_307
"""Bytes of an Ogg page, at most."""
LARGEST_BLOCK = 8_192
"""Samples of a Vorbis block, at most; the first one after a seek is half of what it should be."""
FIRST_FRAME = 4_096
"""Bytes that hold the first frame of an MP3 stream, in which encoders state its length."""
KBIT_RATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Of layer III by the number in a frame's header, of MPEG 1 and, False, of MPEG 2 and 2.5; 0 is any other rate."""


class OggEnd(NamedTuple):
    """The end of an Ogg stream: whether it is marked as such, and the samples of its last page."""

    marked: bool
    samples: int


def ogg_end(path: Path) -> OggEnd:
    """Look at the last pages of an Ogg file (RFC 3533); samples are counted as the codec does, Opus at 48 kHz."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2 * LARGEST_PAGE))
        tail = file.read()
    # A capture pattern, version 0, flags, of which 4 is the end, the position of the last sample that ends on the page,
    # eight bytes of numbers, a sum of four, and the sizes of what it holds, as many as its 27th byte says.
    pages = [page for page in re.finditer(rb"OggS\0(.)(.{8}).{12}(.)", tail, re.DOTALL) if _is_whole(page, tail)]
    ends = [int.from_bytes(page[2], "little") for page in pages]
    ends = [position for position in ends if position < 1 << 63]  # -1: no packet ends on this page
    samples = ends[-1] - ends[-2] if len(ends) > 1 else ends[-1] if ends else 0
    return OggEnd(bool(pages and pages[-1][1][0] & 4), samples)


def _is_whole(page: re.Match[bytes], tail: bytes) -> bool:
    sizes = tail[page.end() : page.end() + page[3][0]]
    return len(sizes) == page[3][0] and page.end() + len(sizes) + sum(sizes) <= len(tail)


def mp3_states_length(path: Path) -> bool:
    """Whether an MP3 file says how long it is; otherwise libsndfile guesses from the bit rate of the first frames."""
    with path.open("rb") as file:
        file.seek(_tag_length(file.read(10)))
        first = file.read(FIRST_FRAME)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


@lru_cache(maxsize=1 << 16)
def mp3_samples(path: Path, modified: int) -> int:
    """Samples in the frames of an MP3 file, by their headers: what a decoder makes of it before it cuts off silence.

    Args:
        path: The file.
        modified: When it was modified; the answer is remembered.
    """
    content = path.read_bytes()
    place, samples = _tag_length(content[:10]), 0
    while place >= 0:
        size, of_frame = _mp3_frame(content, place)
        # Two frames in a row are no accident in other bytes, such as those of a tag.
        if size and (_mp3_frame(content, place + size)[0] or place + size >= len(content)):
            place, samples = place + size, samples + of_frame
        else:
            place = content.find(b"\xff", place + 1)
    return samples


def _tag_length(head: bytes) -> int:
    """Bytes of the ID3 tag that comes first; it may hold a whole picture."""
    if head[:3] != b"ID3":
        return 0
    return 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))


def _mp3_frame(content: bytes, place: int) -> tuple[int, int]:
    """Bytes and samples of the frame of layer III that starts at a place; zeros if none does (ISO 11172-3, 13818-3)."""
    header = int.from_bytes(content[place : place + 4], "big")
    version, kbit, rate = header >> 19 & 3, header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or header >> 17 & 3 != 1 or kbit in (0, 15) or rate == 3:
        return 0, 0
    first = version == 3
    hertz = (44_100, 48_000, 32_000)[rate] >> (3 - version if version else 2)
    samples = 1152 if first else 576
    return samples // 8 * 1000 * KBIT_RATES[first][kbit] // hertz + (header >> 9 & 1), samples
