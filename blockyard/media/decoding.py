"""Reading the frames of a video file: only those asked for, on one thread, the same pixels from either library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from blockyard.media.frame_index import DecodingError, decode_all, index_file, named, open_video
from blockyard.media.orientation import UPRIGHT, orientation_of

__all__ = ["Backend", "DecodingError", "Frames", "Video", "default_backend"]

Backend = Literal["torchcodec", "pyav"]
Frames = NDArray[np.uint8]
ALIKE = frozenset({"yuv420p", "yuvj420p"})
"""Pixel formats of which both libraries make the same RGB, at even heights."""


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

    Opening takes less than a millisecond where the container has an index that can be trusted: without decoding, what
    is between the packets is read. Headers are often wrong about the number of frames, and a file that was cut off must
    be found out. Other files are decoded once to count their pictures, and each read decodes from the start: see
    :mod:`blockyard.media.frame_index`. A frame that the codec skips, as DivX may, shows the one before.

    Frames are as a player shows them: turned and mirrored by the display matrix, all of the size that the stream starts
    with, in full-range RGB by the colour matrix and range that the file names (BT.601 and, for YUV, limited range if it
    names none), without what is transparent in them being blended. Pixels that are not square stay as they are stored.

    Args:
        path: The file.
        backend: Library that decodes; None takes the default. torchcodec is not taken for files whose frames it would
            give otherwise.

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
        with named(self.path):
            self._container, self._stream = open_video(self.path)
            try:
                context = self._stream.codec_context
                self._size, self._format = (context.height, context.width), context.pix_fmt
                self._index = index_file(self.path)
            except BaseException:
                self.close()
                raise
        self.frames, self.fps = self._index.frames, self._index.fps

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
        frames = np.asarray(indices)
        if not len(frames) or frames.min() < 0 or frames.max() >= self.frames:
            raise IndexError(f"{self.path} has {self.frames} frames; asked for {list(indices)}")
        pictures = frames if self._index.shown is None else self._index.shown[frames]
        wanted, where = np.unique(pictures, return_inverse=True)
        pixels = self._read_torchcodec(wanted) if self.backend == "torchcodec" else None
        if pixels is None:
            with named(self.path):
                pixels = self._read_pyav(wanted)
        return pixels if np.array_equal(where, np.arange(len(pixels))) else pixels[where]

    def corrupt_frames(self) -> int:
        """Decode everything; how many frames are missing or have damage that the codec concealed.

        Raises:
            DecodingError: If decoding stops with an error, or frames are turned by something else than right angles, or
                not all alike.
        """
        found, sound, shapes = 0, 0, set()
        with named(self.path):
            for picture in self._from_start():
                found, sound = found + 1, sound + (not picture.is_corrupt)
                shapes.add(orientation_of(picture).transposed)
            if len(shapes) > 1:
                raise ValueError("some frames are turned by 90 degrees and some are not")
        missing = self._index.pictures - self._index.repeats - found
        return found - sound + max(0, missing)

    def _read_torchcodec(self, wanted: NDArray[np.integer[Any]]) -> Frames | None:
        """Pictures by number; None where PyAV has to say what they are, so that they are the same with either."""
        times = self._index.times
        if times is None or not self._looks_alike:
            return None
        from torchcodec.decoders import VideoDecoder

        try:
            # Frame n is at time n / fps in some files; for others it must read the file first to know.
            mode: Literal["approximate", "exact"] = "approximate" if self._index.evenly_timed else "exact"
            decoder = VideoDecoder(
                str(self.path),
                stream_index=self._stream.index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                seek_mode=mode,
            )
            if len(decoder) != self._index.pictures:
                return None
            batch = decoder.get_frames_at(wanted.tolist())
        except Exception:  # what it raises for which file depends on its version
            return None
        tick = float(self._stream.time_base or 0)
        punctual = np.allclose(batch.pts_seconds.numpy(), times[wanted] * tick, rtol=0, atol=tick / 2)
        pixels: Frames = batch.data.numpy()
        return pixels if punctual and pixels.shape[1:3] == self._size else None

    @cached_property
    def _looks_alike(self) -> bool:
        """Whether both libraries make the same pixels of this file.

        They do where pictures are shown as stored, and where FFmpeg has a table that makes RGB of them. Elsewhere it
        interpolates colours: each library asks for other weights, and newer versions mind where a colour's place is.
        torchcodec turns pictures but does not mirror them.
        """
        if self._format not in ALIKE or self._size[0] % 2:
            return False
        if "avi" in self._container.format.name:  # has no place for a display matrix
            return True
        with named(self.path):
            return orientation_of(next(self._from(int(self._index.keys[0])))) == UPRIGHT

    def _read_pyav(self, wanted: NDArray[np.integer[Any]]) -> Frames:
        if self._index.times is None:
            return np.stack([self._rgb(picture) for picture in self._counted(wanted)])
        times = self._index.times[wanted]
        # A keyframe that lies between two wanted frames saves decoding what comes before it.
        key = np.searchsorted(self._index.keys, times, side="right")
        stretches = np.split(times, np.flatnonzero(np.diff(key) > 1) + 1)
        return np.stack([self._rgb(picture) for stretch in stretches for picture in self._stretch(stretch)])

    def _rgb(self, picture: VideoFrame) -> Frames:
        height, width = self._size
        # Left to itself, PyAV starts as many threads as there are cores for every single frame.
        rgb = self._converter.reformat(picture, width or None, height or None, "rgb24", threads=1)
        return orientation_of(picture).apply(cast(Frames, rgb.to_ndarray()))

    def _stretch(self, times: NDArray[np.int64]) -> Iterator[VideoFrame]:
        """The pictures shown at ascending times, decoded in one go from the last keyframe before them."""
        pictures = self._from(int(times[0]))
        shown, ahead = next(pictures), None
        for time in times:
            while (shown.pts or 0) < time:
                ahead = ahead or next(pictures, None)
                if ahead is None or (ahead.pts or 0) > time:
                    break
                shown, ahead = ahead, None
            yield shown

    def _from(self, time: int) -> Iterator[VideoFrame]:
        """Pictures from one at or before a time on: from the start, if a decoder can't begin at the keyframe."""
        keys = self._index.keys
        self._container.seek(int(keys[np.searchsorted(keys, time, side="right") - 1]), stream=self._stream)
        pictures = self._container.decode(self._stream)
        first = next(pictures, None)
        if first is None or first.pts is None or first.pts > time:
            pictures = self._from_start()
            first = next(pictures, None)
        if first is None:
            raise ValueError("nothing can be decoded")
        return chain([first], pictures)

    def _from_start(self) -> Iterator[VideoFrame]:
        """Every picture; the file is opened anew, as not every container can be wound back to its first packet."""
        self.close()
        self._container, self._stream = open_video(self.path)
        return decode_all(self._container, self._stream)

    def _counted(self, wanted: NDArray[np.integer[Any]]) -> Iterator[VideoFrame]:
        """The pictures at ascending positions, decoded from the start and counted, without trust in times."""
        pictures = self._from_start()
        position = -1
        for target in wanted:
            picture = next(islice(pictures, target - position - 1, None), None)
            if picture is None:
                raise ValueError(f"frame {target} can't be decoded")
            position = target
            yield picture
