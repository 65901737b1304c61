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
MP3_SIDE_LENGTH = 4_096
"""Bytes that hold the first frame of an MP3 stream, in which encoders state its length."""


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
    """Whether an MP3 file says how long it is; otherwise the decoder guesses from the first frame's bit rate."""
    with path.open("rb") as file:
        head = file.read(10)
        # An ID3 tag comes first, as long as four times seven bits say, and may hold a whole picture.
        tag = sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
        file.seek(10 + tag if head[:3] == b"ID3" else 0)
        first = file.read(MP3_SIDE_LENGTH)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


@lru_cache(maxsize=1 << 16)
def decoded_length(path: Path, modified: int) -> int:
    """Samples of a file, by decoding all of it; ``modified`` is when, for the answer is remembered."""
    import soundfile

    with soundfile.SoundFile(path) as file:
        return len(file.read(file.frames, dtype="float32"))
