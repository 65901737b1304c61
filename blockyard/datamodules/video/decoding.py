"""Reading the frames of a video file: only those asked for, on one thread, the same pixels from either library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from blockyard.datamodules.base import DataError

Backend = Literal["torchcodec", "pyav"]
Frames = NDArray[np.uint8]
NOMINAL_FPS = 25.0
"""Frames a second of a file that tells neither a rate nor times."""


class DecodingError(DataError):
    """A video file can't be opened, is cut off, or has frames that can't be decoded; the message is one line."""


@cache
def default_backend() -> Backend:
    """``torchcodec`` where it is installed and finds the FFmpeg libraries it needs, else ``pyav``."""
    try:
        import torchcodec.decoders
    except (ImportError, OSError, RuntimeError):  # what it raises without FFmpeg depends on its version
        return "pyav"
    # Newer versions can be imported without FFmpeg, and say by this that they did not find it.
    return "pyav" if getattr(torchcodec, "ffmpeg_major_version", 0) is None else "torchcodec"


class Video:
    """An opened video file.

    Opening takes less than a millisecond: without decoding, it reads the whole file once, or the index at the end of an
    AVI file where the codec does not delay frames. Headers are often wrong about the number of frames, and a file that
    was cut off must be found out. Both libraries are asked for a frame by its number among those counted here; one that
    the codec skips, as DivX may, is the next that it gives, at the end the last.

    Args:
        path: The file.
        backend: Library that decodes; None takes the default.

    Attributes:
        frames: Number of frames.
        fps: Mean frames a second.

    Raises:
        DecodingError: If it can't be opened, has no pictures or is cut off.
    """

    def __init__(self, path: str | Path, backend: Backend | None = None) -> None:
        self.path = Path(path)
        self.backend = backend or default_backend()
        self._converter = VideoReformatter()
        with _named(self.path):
            self._container: InputContainer = av.open(str(self.path), metadata_errors="ignore")
        try:
            if not self._container.streams.video:
                raise DecodingError(f"{self.path}: there are no pictures in it")
            self._stream: VideoStream = self._container.streams.video[0]
            self._stream.codec_context.thread_count = 1
            with _named(self.path):
                self._scan()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def read(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> Frames:
        """Frames by number, RGB uint8 ``(T, H, W, 3)``; in any order, also repeatedly.

        Raises:
            DecodingError: If they can't be decoded.
            IndexError: If there is no such frame.
        """
        wanted, where = np.unique(np.asarray(indices), return_inverse=True)
        if not len(wanted) or wanted[0] < 0 or wanted[-1] >= self.frames:
            raise IndexError(f"{self.path} has {self.frames} frames; asked for {list(indices)}")
        pixels = self._read_torchcodec(wanted) if self.backend == "torchcodec" and self._times is not None else None
        if pixels is None:
            with _named(self.path):
                pixels = self._read_pyav(wanted)
        return pixels if np.array_equal(where, np.arange(len(pixels))) else pixels[where]

    def corrupt_frames(self) -> int:
        """Decode everything; how many frames are missing or have damage that the codec concealed.

        Raises:
            DecodingError: If decoding stops with an error.
        """
        with _named(self.path):
            self._container.seek(0)
            sound = sum(not frame.is_corrupt for frame in self._container.decode(self._stream))
        return max(0, self.frames - sound)

    def _scan(self) -> None:
        indexed = self._indexed_packets()
        self._evenly_timed = indexed is not None
        packets = indexed or [
            (packet.pts if packet.pts is not None else packet.dts, packet.is_keyframe, packet.is_corrupt)
            for packet in self._container.demux(self._stream)
            if packet.size and not packet.is_discard
        ]
        self.frames = len(packets)
        times = np.array([time for time, _, _ in packets if time is not None], dtype=np.int64)
        end = float(times.max() * (self._stream.time_base or 0)) if len(times) else 0.0
        self._complain_if_cut_off(any(corrupt for _, _, corrupt in packets), end)
        keys = np.array([time for time, key, _ in packets if key and time is not None], dtype=np.int64)
        self._keys, span = np.sort(keys), int(np.ptp(times)) if len(times) else 0
        rate = (len(times) - 1) / float(span * (self._stream.time_base or 0)) if span else 0.0
        self.fps = rate or float(self._stream.average_rate or NOMINAL_FPS)
        # AVI stores no presentation times: where frames are reordered, what FFmpeg makes up for them is wrong.
        reordered = self._is_avi and self._stream.codec_context.has_b_frames
        trusted = not reordered and len(keys) and len(np.unique(times)) == self.frames
        self._times = np.sort(times) if trusted else None

    @property
    def _is_avi(self) -> bool:
        return "avi" in self._container.format.name

    def _indexed_packets(self) -> list[tuple[int | None, bool, bool]] | None:
        """Time, key or not, and cut off or not, of each packet by the index of an AVI file; None if it might mislead.

        MPEG-4 without B-frames alone comes out in the order and at the times of the index.
        """
        context = self._stream.codec_context
        if not self._is_avi or context.name != "mpeg4" or context.has_b_frames:
            return None
        size, index = self._container.size, list(self._stream.index_entries)
        plain = all(e.timestamp == number and e.size and not e.is_discard for number, e in enumerate(index))
        if not plain or len(index) != self._stream.frames:
            return None
        return [(e.timestamp, e.is_keyframe, e.pos + e.size > size) for e in index]

    def _complain_if_cut_off(self, corrupt: bool, end: float) -> None:
        """AVI files promise a number of frames, Matroska files written by FFmpeg how long the track lasts."""
        promised = self._stream.frames if self._is_avi else 0
        short = promised - self.frames > 1 + promised // 100 or end < 0.9 * self._promised_seconds() - 1
        if corrupt or not self.frames or short:
            of = f" of {promised}" if promised else ""
            raise DecodingError(f"{self.path}: cut off or damaged: {self.frames}{of} frames found, up to {end:.1f} s")

    def _promised_seconds(self) -> float:
        clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", self._stream.metadata.get("DURATION", ""))
        if clock is None:
            return 0.0
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds

    def _read_torchcodec(self, wanted: NDArray[np.integer[Any]]) -> Frames | None:
        from torchcodec.decoders import VideoDecoder

        try:
            # Frame n is at time n / fps in some files; for others it must read the file first to know.
            mode: Literal["approximate", "exact"] = "approximate" if self._evenly_timed else "exact"
            decoder = VideoDecoder(str(self.path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode=mode)
            if len(decoder) != self.frames:
                return None
            return decoder.get_frames_at(wanted.tolist()).data.numpy()
        except (RuntimeError, IndexError, ValueError):
            return None  # PyAV has the last word, so that what counts as damaged is the same with and without it

    def _read_pyav(self, wanted: NDArray[np.integer[Any]]) -> Frames:
        if self._times is None:
            return np.stack([self._rgb(frame) for frame in self._counted(wanted)])
        times = self._times[wanted]
        # A keyframe that lies between two wanted frames saves decoding what comes before it.
        key = np.searchsorted(self._keys, times, side="right")
        stretches = np.split(times, np.flatnonzero(np.diff(key) > 1) + 1)
        return np.stack([self._rgb(frame) for stretch in stretches for frame in self._stretch(stretch)])

    def _rgb(self, frame: VideoFrame) -> Frames:
        # Left to itself, PyAV starts as many threads as there are cores for every single frame.
        return cast(Frames, self._converter.reformat(frame, format="rgb24", threads=1).to_ndarray())

    def _stretch(self, times: NDArray[np.int64]) -> Iterator[VideoFrame]:
        """The frames shown at ascending times, decoded in one go from the last keyframe before them."""
        key = int(self._keys[max(0, np.searchsorted(self._keys, times[0], side="right") - 1)])
        self._container.seek(key, stream=self._stream)
        frames = self._container.decode(self._stream)
        frame = next(frames, None)
        if frame is None or frame.pts is None or frame.pts > times[0]:  # a container whose index leads astray
            self._container.seek(0)
            frames = self._container.decode(self._stream)
            frame = next(frames, None)
        if frame is None:
            raise DecodingError(f"{self.path}: nothing can be decoded from time {key} on")
        for time in times:
            while frame.pts is not None and frame.pts < time and (after := next(frames, None)) is not None:
                frame = after
            yield frame

    def _counted(self, wanted: NDArray[np.integer[Any]]) -> Iterator[VideoFrame]:
        """The frames at ascending positions, decoded from the start and counted, without trust in times."""
        self._container.seek(0)
        frame = None
        frames = enumerate(self._container.decode(self._stream))
        position = -1
        for target in wanted:
            while position < target and (after := next(frames, None)) is not None:
                position, frame = after
            if frame is None:
                raise DecodingError(f"{self.path}: nothing can be decoded")
            yield frame


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors into one line that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DecodingError(f"{path}: there is no such file") from error
    except (av.FFmpegError, OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DecodingError(f"{path}: damaged or not a video ({reason})") from error
