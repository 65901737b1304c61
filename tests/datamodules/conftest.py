from fractions import Fraction

import av
import numpy as np
import pytest


def _write_video(
    path,
    frames=50,
    fps=25,
    size=(48, 64),
    codec="mpeg4",
    gop=12,
    b_frames=0,
    movflags=None,
    pix_fmt="yuv420p",
    container=None,
    mux=None,
    pts=None,
    turn=None,
    tint=(255, 255, 255),
    **options,
):
    """A video whose frame n shows n in eight bars, black for 0 and white for 1, which survives any codec.

    ``container`` names its format where the suffix doesn't, ``mux`` has options of that, ``pts`` the tick of each
    frame, ``turn`` what ``set_display_rotation`` is given, ``tint`` a colour in place of white.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mux = (mux or {}) | ({"movflags": movflags} if movflags else {})
    with av.open(str(path), "w", format=container, options=mux) as box:
        options = {"g": str(gop), "bf": str(b_frames), "threads": "1"} | options
        stream = box.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        if turn:
            stream.set_display_rotation(**turn)
        for number in range(frames):
            bars = np.repeat(number >> np.arange(8) & 1, size[1] // 8).astype(np.uint8)
            pixels = np.ascontiguousarray(np.broadcast_to(bars[:, None] * np.uint8(tint), (*size, 3)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], 1 / Fraction(fps)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return path


def _numbers(pixels):
    """Which frames these are; pixels (T, H, W, 3)."""
    bars = np.asarray(pixels).mean(axis=(1, 3)).reshape(len(pixels), 8, -1).mean(2) > 127
    return (bars @ 2 ** np.arange(8)).tolist()


@pytest.fixture
def write_video():
    return _write_video


@pytest.fixture
def numbers():
    return _numbers


@pytest.fixture
def cut_off():
    """Leave of a file only that share of its bytes."""

    def cut(path, share=0.6):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return cut


@pytest.fixture
def class_means():
    """How many of a split's pictures are nearest to the mean picture of their own class in the training split."""

    def accuracy(data, split="test") -> float:
        train, other = data.split("train"), data.split(split)
        means = np.stack([train.images[train.targets == label].mean(0) for label in range(data.num_classes)])
        distances = (
            ((other.images[:, None].astype(float) - means) ** 2).reshape(len(other), data.num_classes, -1).sum(-1)
        )
        return float((distances.argmin(1) == other.targets).mean())

    return accuracy


@pytest.fixture
def scribble():
    """Overwrite the data of a few frames, leaving the file's structure alone."""

    def overwrite(path, frames):
        with av.open(str(path)) as container:
            packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
        content = bytearray(path.read_bytes())
        for frame in frames:
            start, size = packets[frame]
            content[start + size // 2 : start + size] = b"\x55" * (size - size // 2)
        path.write_bytes(content)

    return overwrite
