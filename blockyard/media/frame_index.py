"""Where the pictures of a video file are, as far as its container can be trusted to know.

Frame n of a file is the n-th picture that decoding it from its start gives. Times and seeks find it only where the
container has an index, and an exact time for each picture: the MP4 family, Matroska, and of AVI files, which store no
presentation times, those whose codec does not reorder. By format, never by suffix. In all others (MPEG program and
transport streams, FLV, ASF, Ogg, raw streams, GIF …) pictures are counted.

An AVI file is a picture a tick of its clock, where an empty entry shows the one before again: such ticks are frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from blockyard.mistakes import DataError

NOMINAL_FPS = 25.0
"""Frames a second of a file that tells neither a rate nor times."""
NOT_CODED = 19
"""Largest size in bytes of a picture of MPEG-4 that is marked as not coded, as FFmpeg has it."""
INDEXED = frozenset({"avi", "matroska", "mov"})
PROMISING = frozenset({"asf", "flv", "matroska"})
"""Containers whose header says how long they last, while nothing in them says how many pictures there are."""


class DecodingError(DataError):
    """A video file can't be opened, is cut off, or has frames that can't be decoded; the message is one line."""


@dataclass(frozen=True)
class FrameIndex:
    """The frames of one file.

    Attributes:
        frames: Number of frames.
        fps: Mean frames a second.
        shown: The picture that each frame shows ``(frames,)``, ascending; None if frame n is picture n.
        pictures: Number of pictures.
        times: When each picture is shown ``(pictures,)``, ascending, in ticks of the stream; None if pictures have to
            be counted from the start.
        keys: Times of the keyframes, ascending.
        evenly_timed: Whether picture n is at time n / fps.
        repeats: Pictures so short that they may only say "as before", for which the codec gives none.
    """

    frames: int
    fps: float
    shown: NDArray[np.int64] | None
    pictures: int
    times: NDArray[np.int64] | None
    keys: NDArray[np.int64]
    evenly_timed: bool
    repeats: int


class _Packet(NamedTuple):
    size: int
    pts: int | None
    dts: int | None
    duration: int
    is_keyframe: bool
    is_corrupt: bool
    is_discard: bool = False


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """A file and the stream in it that players show, which is not the picture on the cover.

    Raises:
        DecodingError: If there are no pictures in it, or nobody knows their codec.
    """
    container: InputContainer = av.open(str(path), metadata_errors="ignore")
    try:
        if not container.streams.video:
            raise DecodingError(f"{path}: there are no pictures in it")
        stream = container.streams.best("video") or container.streams.video[0]
        assert isinstance(stream, VideoStream)
        if stream.codec_context is None:
            raise DecodingError(f"{path}: its codec is unknown")
        stream.codec_context.thread_count = 1
    except BaseException:
        container.close()
        raise
    return container, stream


def decode_all(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every picture of a file just opened.

    What can't be decoded before the first of them is left out: a recording may start between two keyframes.
    """
    started = False
    for packet in container.demux(stream):
        try:
            pictures = stream.decode(packet)
        except av.InvalidDataError:
            if started:
                raise
            continue
        started = started or bool(pictures)
        yield from pictures


def index_frames(path: Path, container: InputContainer, stream: VideoStream) -> FrameIndex:
    """Index a file just opened, from what is between its packets; where that can't be trusted, by decoding it once.

    Raises:
        DecodingError: If it is cut off.
    """
    entries = len(stream.index_entries)  # those in the file: reading adds what it comes across
    quick = _avi_index(container, stream)
    packets = quick or [
        _Packet(p.size, p.pts, p.dts, p.duration or 0, p.is_keyframe, p.is_corrupt, p.is_discard)
        for p in container.demux(stream)
        if _is_picture(p, stream.codec_context.name)
    ]
    kept = [packet for packet in packets if not packet.is_discard]
    times = np.array([packet.pts for packet in kept if packet.pts is not None], dtype=np.int64)
    _complain_if_cut_off(path, container, stream, packets, entries)
    keys = np.array([p.pts for p in packets if p.is_keyframe and p.pts is not None], dtype=np.int64)
    exact = len(np.unique(times)) == len(kept) > 0
    trusted = exact and _trusted(container, stream, packets)
    pictures = len(kept) if trusted else _count_pictures(path, *_version(path))
    if not pictures:
        raise DecodingError(f"{path}: there is no picture in it that can be decoded")
    frames, shown, fps = pictures, None, _rate(stream, times if exact else times[:0])
    if _is_avi(container):
        fps = float(stream.average_rate or NOMINAL_FPS)
        moments = _moments(kept, stream.codec_context.reorder_depth)
        if len(moments) == pictures and pictures < moments[-1] + 1 <= stream.frames:
            frames = int(moments[-1]) + 1
            shown = (np.searchsorted(moments, np.arange(frames), side="right") - 1).clip(0)
    sorted_times = np.sort(times) if trusted else None
    repeats = sum(packet.size <= NOT_CODED for packet in kept) if stream.codec_context.name == "mpeg4" else 0
    return FrameIndex(frames, fps, shown, pictures, sorted_times, np.sort(keys), quick is not None, repeats)


def index_file(path: Path) -> FrameIndex:
    """Index a file, once for as long as it is not changed: clip after clip is read from the same files.

    Raises:
        DecodingError: If it can't be opened, has no pictures or is cut off.
    """
    return _remembered(path, *_version(path))


@lru_cache(maxsize=2**14)
def _remembered(path: Path, size: int, modified: int) -> FrameIndex:
    container, stream = open_video(path)
    with container:
        return index_frames(path, container, stream)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Turn whatever a library raises about a file into one line that names it."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DecodingError(f"{path}: there is no such file") from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DecodingError(f"{path}: damaged or not a video ({reason})") from error


def _formats(container: InputContainer) -> set[str]:
    return set(container.format.name.split(","))


def _is_avi(container: InputContainer) -> bool:
    return "avi" in _formats(container)


def _trusted(container: InputContainer, stream: VideoStream, packets: list[_Packet]) -> bool:
    """Whether the container knows when each picture is shown, and a decoder can begin with its first packet."""
    context, times = stream.codec_context, [packet.pts for packet in packets]
    if _formats(container).isdisjoint(INDEXED) or None in times or not packets[0].is_keyframe:
        return False
    if _is_avi(container) and context.codec.reorder:
        return context.name == "mpeg4" and not context.has_b_frames
    pts = np.array(times, dtype=np.int64)
    # Where the codec reorders but the times ascend, they were made up when the file was copied from an AVI or raw one.
    made_up = context.has_b_frames and bool((np.diff(pts) > 0).all())
    return not made_up and bool((pts >= pts[0]).all())


def _is_picture(packet: av.Packet, codec: str) -> bool:
    """Whether a packet is more than an empty one, or a picture of VP8 that others refer to and nobody is shown."""
    return packet.size > 0 and (codec != "vp8" or bool(memoryview(packet)[0] & 0x10))


def _moments(packets: list[_Packet], delay: int) -> NDArray[np.int64]:
    """The tick of an AVI file's clock at which each picture is shown, ascending; the first is as early as its packet.

    A decoder with a delay of d pictures gives one when it has read the packet d places later.
    """
    ticks = np.array([packet.dts for packet in packets if packet.dts is not None], dtype=np.int64)
    late = np.append(ticks, ticks[-1:] + np.arange(1, delay + 1))[delay:] if delay else ticks
    return late - (late[:1] - ticks[:1])


def _avi_index(container: InputContainer, stream: VideoStream) -> list[_Packet] | None:
    """The packets by the index of an AVI file, which spares reading all of it; None if it might mislead.

    MPEG-4 without B-frames alone comes out in the order and at the times of the index.
    """
    context = stream.codec_context
    if not _is_avi(container) or context.name != "mpeg4" or context.has_b_frames:
        return None
    index = list(stream.index_entries)
    plain = all(e.timestamp == number and e.size and not e.is_discard for number, e in enumerate(index))
    if not plain or len(index) != stream.frames:
        return None
    size = container.size
    return [_Packet(e.size, e.timestamp, e.timestamp, 1, e.is_keyframe, e.pos + e.size > size) for e in index]


def _complain_if_cut_off(
    path: Path, container: InputContainer, stream: VideoStream, packets: list[_Packet], entries: int
) -> None:
    """Whether more than half a frame is missing of what index or header promise."""
    base, rate = float(stream.time_base or 0), float(stream.average_rate or NOMINAL_FPS)
    ends = [p.pts * base + (p.duration * base or 1 / rate) for p in packets if p.pts is not None]
    end = max(ends, default=0.0)
    promised = 0
    if _is_avi(container) and entries < len(packets):  # the index at the end is what is lost first
        promised = stream.frames
    short = len(packets) < promised and (packets[-1].dts or 0) + 1 < promised if packets else False
    short |= end < _promised_seconds(container, stream) - 0.5 / rate
    if short or any(packet.is_corrupt for packet in packets) or _lacks_indexed(container, stream, len(packets)):
        of = f" of {promised}" if promised else ""
        raise DecodingError(f"{path}: cut off or damaged: {len(packets)}{of} frames found, up to {end:.1f} s")


def _lacks_indexed(container: InputContainer, stream: VideoStream, packets: int) -> bool:
    """Whether the index of an MP4 file points behind the end of the file."""
    index = stream.index_entries
    if "mov" not in _formats(container) or packets >= len(index):
        return False
    return any(entry.pos + entry.size > container.size for entry in index)


def _promised_seconds(container: InputContainer, stream: VideoStream) -> float:
    """When the last picture ends by the header; 0 if that does not say, or might mean the sound."""
    if _formats(container).isdisjoint(PROMISING):
        return 0.0
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", stream.metadata.get("DURATION", ""))
    if clock is not None:
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    if len(container.streams) > 1:
        return 0.0
    if stream.duration is not None:
        return float(stream.duration * (stream.time_base or 0))
    return (container.duration or 0) / av.time_base


def _rate(stream: VideoStream, times: NDArray[np.int64]) -> float:
    """Mean frames a second by the times of all pictures, else as the header says."""
    span = int(np.ptp(times)) * float(stream.time_base or 0) if len(times) else 0.0
    return (len(times) - 1) / span if span else float(stream.average_rate or NOMINAL_FPS)


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=2**16)
def _count_pictures(path: Path, size: int, modified: int) -> int:
    """Pictures that decoding a file gives; remembered, as clip after clip is read from the same files."""
    container, stream = open_video(path)
    with container:
        return sum(1 for _ in decode_all(container, stream))
