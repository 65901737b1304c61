"""Frames by number: whatever the file, whichever library."""

import os
import random
from fractions import Fraction

import numpy as np
import pytest

from blockyard.media.decoding import DecodingError, Video, default_backend
from blockyard.media.frame_index import _avi_index, open_video
from blockyard.mistakes import DataError

H264, MPEG2 = {"codec": "libx264", "b_frames": 2}, {"codec": "mpeg2video", "b_frames": 2}
KINDS = {
    "mpeg4.avi": {},
    "h264.avi": {"codec": "libx264"},
    "h264.mp4": H264,
    "mpeg4.mp4": {"b_frames": 2},
    "h264.mkv": H264 | {"gop": 250},
    "vp8.webm": {"codec": "libvpx"},
    # AVI has no presentation times: these are read without trusting any.
    "reordered_mpeg4.avi": {"b_frames": 2},
    "reordered_h264.avi": H264,
    "mpeg2.avi": MPEG2,
    "mpeg2.mkv": MPEG2,
    "mpeg2.mp4": MPEG2,
    "mpeg4.mkv": {"b_frames": 2},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1"},
    "png.mov": {"codec": "png", "pix_fmt": "rgb24"},
    "fragmented.mp4": H264 | {"movflags": "frag_keyframe+empty_moov"},
    "live.webm": {"codec": "libvpx", "mux": {"live": "1"}},  # without an index
    "open_gop.mkv": H264 | {"x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0:b-adapt=0"},
    "refreshed.mkv": {"codec": "libx264", "x264-params": "intra-refresh=1:keyint=20:scenecut=0"},
    # Containers without an index, whatever the file is called.
    "mpeg1.mpg": {"codec": "mpeg1video", "b_frames": 2},
    "mpeg2.mpg": MPEG2,
    "mpeg2_without_b.mpeg": {"codec": "mpeg2video"},
    "program.mp4": MPEG2 | {"container": "mpeg"},
    "mpeg2.vob": MPEG2,
    "mpeg2.ts": MPEG2,
    "transport.avi": MPEG2 | {"container": "mpegts"},
    "mpeg4.ts": {"b_frames": 2},
    "h264.m2ts": H264,
    "h264.flv": H264,
    "flv1.flv": {"codec": "flv"},
    "wmv2.wmv": {"codec": "wmv2"},
    "vp8.ogv": {"codec": "libvpx"},
    "raw.h264": H264 | {"container": "h264"},
    "raw.m2v": MPEG2 | {"container": "mpeg2video"},
    "raw.m4v": {"b_frames": 2, "container": "m4v"},
    "raw.mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}
TRUSTED = set(list(KINDS)[:6]) - {"h264.avi"} | {
    *("mpeg2.mkv", "mpeg2.mp4", "mpeg4.mkv", "vp9.webm", "mjpeg.avi", "ffv1.mkv", "png.mov", "fragmented.mp4"),
    *("live.webm", "open_gop.mkv", "refreshed.mkv"),
}
needs_torchcodec = pytest.mark.skipif(
    default_backend() != "torchcodec", reason="torchcodec finds no FFmpeg libraries here (Debian: apt install ffmpeg)"
)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("backend", ["pyav", pytest.param("torchcodec", marks=needs_torchcodec)])
def test_any_frame_of_any_kind_of_file(tmp_path, write_video, numbers, name, backend):
    path = write_video(tmp_path / name, **KINDS[name])
    with Video(path, backend) as video:
        assert (video.frames, video.fps) == (50, pytest.approx(25, rel=0.01))
        assert numbers(video.read(range(50))) == list(range(50))
        order = random.Random(0)
        for _ in range(8):  # forwards and backwards, near and far, with repetitions
            wanted = [order.randrange(50) for _ in range(order.randrange(1, 6))]
            assert numbers(video.read(wanted)) == wanted


@pytest.mark.parametrize("name", KINDS)
def test_only_a_container_with_an_index_is_trusted(tmp_path, write_video, name):
    """And it must be, or reading a clip means decoding all that comes before it."""
    with Video(write_video(tmp_path / name, **KINDS[name])) as video:
        assert (video._index.times is not None) == (name in TRUSTED)


@needs_torchcodec
@pytest.mark.parametrize("name", KINDS)
def test_both_libraries_give_the_same_pixels(tmp_path, write_video, name):
    path = write_video(tmp_path / name, **KINDS[name])
    wanted = [49, 3, 17, 17, 30]
    with Video(path, "pyav") as one, Video(path, "torchcodec") as other:
        assert np.array_equal(one.read(wanted), other.read(wanted))


@needs_torchcodec
@pytest.mark.parametrize("height", [48, 47])
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        *(("a.mkv", "libx265", pixels) for pixels in ("yuv420p", "yuv420p10le", "yuv444p10le")),
        *(("a.mp4", "libx264", pixels) for pixels in ("yuv420p10le", "yuv422p", "yuv444p", "yuvj420p", "gray")),
        ("a.mp4", "libx264rgb", "rgb24"),
        *(("a.webm", "libvpx-vp9", pixels) for pixels in ("yuva420p", "yuv444p", "gbrp")),
        *(("a.mkv", "ffv1", pixels) for pixels in ("yuv420p", "yuv410p", "yuv440p", "gray16le", "bgra", "gbrp10le")),
        *(("a.mov", "qtrle", pixels) for pixels in ("argb", "rgb24")),
    ],
)
def test_both_libraries_give_the_same_pixels_of_every_pixel_format(tmp_path, write_video, name, codec, pix_fmt, height):
    """10-bit HEVC differed by up to 69: where FFmpeg interpolates colours, only one library is asked."""
    if height % 2 and codec in ("libx264", "libx265") and "444" not in pix_fmt and pix_fmt != "gray":
        height = 46  # their encoders want even heights of such colours; of 46 rows those of the colours are odd
    extra = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(
        tmp_path / name, codec=codec, pix_fmt=pix_fmt, frames=4, size=(height, 64), tint=(255, 40, 90), **extra
    )
    with Video(path, "pyav") as one, Video(path, "torchcodec") as other:
        assert np.array_equal(one.read(range(4)), other.read(range(4)))


@needs_torchcodec
@pytest.mark.parametrize("fps", [12, Fraction(24000, 1001), Fraction(30000, 1001)])
@pytest.mark.parametrize("gop", [12, 250])
def test_at_any_rate(tmp_path, write_video, numbers, fps, gop):
    """An AVI file's frames are found by n / fps: rounding must not take a neighbour."""
    path = write_video(tmp_path / "a.avi", frames=233, fps=fps, gop=gop)
    wanted = [232, 0, 1, 100, 101, 231, 17]
    with Video(path, "pyav") as one, Video(path, "torchcodec") as other:
        assert numbers(one.read(wanted)) == wanted
        assert np.array_equal(one.read(wanted), other.read(wanted))


@pytest.mark.parametrize("name", KINDS)
def test_the_index_is_believed_only_where_it_says_what_reading_the_file_does(tmp_path, write_video, name):
    with Video(write_video(tmp_path / name, **KINDS[name])) as video:
        assert (_avi_index(video._container, video._stream) is not None) == (name == "mpeg4.avi")
    container, stream = open_video(tmp_path / name)
    with container:
        indexed = _avi_index(container, stream)
        packets = [p for p in container.demux(stream) if p.size] if indexed else []
        assert (indexed or []) == [
            (p.size, p.pts, p.dts, p.duration, p.is_keyframe, p.is_corrupt, p.is_discard) for p in packets
        ]


def test_an_index_that_points_behind_the_end_of_the_file(tmp_path, write_video, one_line):
    path = write_video(tmp_path / "a.avi", frames=50)
    content = bytearray(path.read_bytes())
    last = content.rindex(b"00dc")  # the last entry: name, flags, offset, size
    content[last + 8 : last + 12] = len(content).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DecodingError) as error:
        Video(path)
    one_line(error, path, "cut off or damaged")


def test_frames_are_rgb_and_rows_come_first(tmp_path, write_video):
    with Video(write_video(tmp_path / "a.avi", size=(32, 80))) as video:
        pixels = video.read([4, 5])
    assert (pixels.shape, pixels.dtype) == ((2, 32, 80, 3), np.uint8)


@pytest.mark.parametrize("fps", [10, 25, 60])
def test_the_rate_is_that_of_the_frames(tmp_path, write_video, fps):
    with Video(write_video(tmp_path / "a.mp4", fps=fps)) as video:
        assert video.fps == pytest.approx(fps)


def test_only_what_is_needed_is_decoded(tmp_path, write_video, numbers):
    """From the keyframe before the first wanted frame to the last one, and not what lies between distant ones."""
    with Video(write_video(tmp_path / "a.avi", frames=60, gop=10), "pyav") as video:
        decoded = []
        decode = video._container.decode

        class Spy:
            def __getattr__(self, name):
                return getattr(container, name)

            def decode(self, stream):
                for frame in decode(stream):
                    decoded.append(frame.pts)
                    yield frame

        container, video._container = video._container, Spy()
        assert len(video._index.keys) >= 6
        before_33, before_58 = (video._index.keys[video._index.keys <= number].max() for number in (33, 58))
        assert numbers(video.read([33, 35])) == [33, 35]
        assert decoded == list(range(before_33, 36))
        decoded.clear()
        assert numbers(video.read([2, 58])) == [2, 58]
        assert decoded == [0, 1, 2, *range(before_58, 59)]


def test_decoding_takes_one_thread(tmp_path, write_video):
    with Video(write_video(tmp_path / "a.mp4", codec="libx264", frames=30), "pyav") as video:
        before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0  # noqa: PTH112, PTH208
        video.read(range(30))
        after = len(os.listdir("/proc/self/task")) if before else 0  # noqa: PTH208
    assert after == before
    assert video._stream.codec_context.thread_count == 1


@pytest.mark.parametrize("name", ["mpeg4.avi", "h264.avi", "h264.mp4", "h264.mkv", "vp8.webm"])
@pytest.mark.parametrize("backend", ["pyav", pytest.param("torchcodec", marks=needs_torchcodec)])
def test_a_file_that_was_cut_off_is_found_out(tmp_path, write_video, cut_off, one_line, name, backend):
    options = {"frames": 200, "movflags": "+faststart" if name.endswith("mp4") else None}
    path = write_video(tmp_path / name, **KINDS[name], **options)
    cut_off(path)
    with pytest.raises(DecodingError) as error:
        Video(path, backend)
    one_line(error, path, "cut off")


def test_what_is_no_video_is_refused_by_name(tmp_path, one_line):
    for name, content in (("empty.avi", b""), ("text.mp4", b"<html>404</html>"), ("zeros.avi", bytes(5000))):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DecodingError) as error:
            Video(path)
        one_line(error, path)
    with pytest.raises(DecodingError) as error:
        Video(tmp_path / "none.avi")
    one_line(error, tmp_path / "none.avi", "no such file")
    assert issubclass(DecodingError, DataError)


def test_damage_that_the_codec_conceals_is_counted(tmp_path, write_video, scribble):
    """It does not stop training or a test; ``check`` reports it."""
    path = write_video(tmp_path / "a.avi", size=(96, 128))
    with Video(path) as video:
        assert video.corrupt_frames() == 0
    scribble(path, frames=[5, 6, 30])
    with Video(path) as video:
        assert 1 <= video.corrupt_frames() < 50
        assert len(video.read(range(50))) == 50


def test_a_frame_that_is_not_there_is_an_error_of_the_caller(tmp_path, write_video):
    with Video(write_video(tmp_path / "a.avi")) as video:
        for wanted in ([50], [-1], []):
            with pytest.raises(IndexError):
                video.read(wanted)
