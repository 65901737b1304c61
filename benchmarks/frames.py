"""Whether a frame asked for by its number is the one that decoding the file from its start gives, whatever the file.

For each combination of container, codec, B-frames and distance of keyframes that this machine's PyAV can write: every
frame alone, from a file opened anew, and strided clips. Frames carry their number, and the pixels must be those of the
decode from the start. Run: python benchmarks/frames.py [--csv FILE]
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from rich.console import Console
from rich.table import Table

from blockyard.media.decoding import Backend, Frames, Video, default_backend

FRAMES, HEIGHT, WIDTH, FPS = 60, 48, 64, 25
CLIPS = 10
COLUMNS = (
    "container",
    "codec",
    "B-frames",
    "keyframe every",
    "decoder",
    "frames",
    "reads",
    "wrong",
    "largest difference",
)
TOLERANCE = 3
"""Levels of 255 by which pixels may differ: MPEG-4 and WMV leave rounding in the inverse transform to the decoder, and
torchcodec may find another FFmpeg than PyAV brings. Any two neighbouring frames here differ by more than 40."""
CODECS = {
    "mpeg1video": ("mpg", "mpeg", "ts", "mkv", "avi", "mp4", "m1v"),
    "mpeg2video": ("mpg", "vob", "ts", "m2ts", "mkv", "avi", "mp4", "m2v"),
    "mpeg4": ("avi", "mp4", "mov", "mkv", "ts", "m4v", "3gp"),
    "libx264": ("mp4", "mov", "fragmented.mp4", "mkv", "live.mkv", "avi", "flv", "ts", "m2ts", "mpg", "264"),
    "libx265": ("mp4", "mkv", "ts", "265"),
    "libvpx": ("webm", "live.webm", "mkv", "avi", "ogv"),
    "libvpx-vp9": ("webm", "live.webm", "mp4"),
    "libsvtav1": ("mp4", "mkv"),
    "wmv2": ("wmv", "asf", "avi", "mkv"),
    "flv": ("flv", "avi"),
    "mjpeg": ("avi", "mov", "mkv", "mp4", "mjpeg"),
    "ffv1": ("mkv", "avi"),
    "png": ("mov", "mkv"),
    "gif": ("gif",),
}
REORDERING = {"mpeg1video", "mpeg2video", "mpeg4", "libx264", "libx265"}
INTRA = {"mjpeg", "png"}
FORMATS = {"264": "h264", "265": "hevc", "m1v": "mpeg1video", "m2v": "mpeg2video", "asf": "asf", "m4v": "m4v"}
PIXELS = {"mjpeg": "yuvj420p", "png": "rgb24", "gif": "rgb8"}
MUXING = {
    "fragmented.mp4": {"movflags": "frag_keyframe+empty_moov"},
    "live.webm": {"live": "1"},
    "live.mkv": {"live": "1"},
}


class Kind(NamedTuple):
    """One combination."""

    container: str
    codec: str
    b_frames: int
    gop: int


def kinds() -> Iterator[Kind]:
    """All combinations."""
    for codec, containers in CODECS.items():
        for container in containers:
            for b_frames in (0, 2) if codec in REORDERING else (0,):
                for gop in (1,) if codec in INTRA else (1, 12, 250):
                    if not (b_frames and gop == 1):
                        yield Kind(container, codec, b_frames, gop)


def write(path: Path, kind: Kind) -> None:
    """A video whose frame n shows n in eight bars, black for 0 and white for 1, over a ground that moves."""
    options = {"g": str(kind.gop), "bf": str(kind.b_frames), "threads": "1", "x265-params": "log-level=error"}
    ending = path.suffix[1:]
    mux = MUXING.get(kind.container, {})
    with av.open(str(path), "w", format=FORMATS.get(ending), options=mux) as container:
        stream = container.add_stream(kind.codec, rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, PIXELS.get(kind.codec, "yuv420p")
        for number in range(FRAMES):
            bars = np.repeat(number >> np.arange(8) & 1, WIDTH // 8).astype(np.uint8)
            pixels = np.ascontiguousarray(np.broadcast_to(255 * bars[:, None], (HEIGHT, WIDTH, 3))).copy()
            pixels[: HEIGHT // 4] = np.roll(np.arange(WIDTH, dtype=np.uint8) * 4, 5 * number)[:, None]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def decode_from_start(path: Path) -> Frames:
    """Every frame, in the order of a decoder that starts at the first packet."""
    converter = VideoReformatter()
    with av.open(str(path)) as container:
        frames = [converter.reformat(frame, format="rgb24", threads=1) for frame in container.decode(video=0)]
    return np.stack([frame.to_ndarray() for frame in frames])


def numbers(pixels: Frames) -> list[int]:
    """The numbers that frames ``(T, H, W, 3)`` carry."""
    bars = pixels[:, HEIGHT // 2 :].mean(axis=(1, 3)).reshape(len(pixels), 8, -1).mean(2) > 127
    return [int(number) for number in bars @ 2 ** np.arange(8)]


def compare(path: Path, backend: Backend, reference: Frames) -> tuple[int, int, int]:
    """Reads, how many of them are other frames than decoded from the start, and the largest difference in levels."""
    order = random.Random(0)
    reads = [[number] for number in range(len(reference))]
    for _ in range(CLIPS):
        stride = order.randint(1, 4)
        start = order.randrange(len(reference) - 7 * stride)
        reads.append(list(range(start, start + 7 * stride + 1, stride)))
    differences = []
    for wanted in reads:
        with Video(path, backend) as video:
            frames = video.read(wanted) if video.frames == len(reference) else np.zeros_like(reference[wanted])
        differences.append(int(np.abs(frames.astype(int) - reference[wanted]).max()))
    return len(reads), sum(difference > TOLERANCE for difference in differences), max(differences)


def measure(kind: Kind, folder: Path, backends: list[Backend]) -> list[tuple[object, ...]]:
    """Rows under :data:`COLUMNS`; none if PyAV can't write such a file."""
    path = folder / f"video.{kind.container}"
    path.unlink(missing_ok=True)
    try:
        write(path, kind)
    except (av.FFmpegError, ValueError, OSError):
        return []
    reference = decode_from_start(path)
    assert numbers(reference) == list(range(FRAMES)), f"{kind}: what was written is not what is decoded"
    return [(*kind, backend, len(reference), *compare(path, backend, reference)) for backend in backends]


def main() -> None:
    """Print the table, and write it with ``--csv``; exit code 1 if any frame is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, help="file to write the table to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    av.logging.set_level(av.logging.PANIC)
    backends: list[Backend] = ["pyav"] if default_backend() == "pyav" else ["pyav", "torchcodec"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for kind in kinds() for row in measure(kind, Path(folder), backends)]
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
    reads, wrong = (sum(int(str(row[column])) for row in rows) for column in (-3, -2))
    print(f"{len(rows) // len(backends)} combinations, {reads} reads by {' and '.join(backends)}, {wrong} wrong")
    if arguments.csv:
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        with arguments.csv.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
