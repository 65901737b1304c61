"""Files whose container tells less than it seems, or has fewer pictures than frames."""

from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest

from blockyard.media import frame_index
from blockyard.media.decoding import DecodingError, Video, default_backend
from blockyard.media.frame_index import index_frames

BACKENDS = [
    "pyav",
    pytest.param("torchcodec", marks=pytest.mark.skipif(default_backend() != "torchcodec", reason="no FFmpeg here")),
]
PAUSES = [number + 3 * (number // 4) for number in range(40)]  # after every fourth frame three ticks without any
either_library = pytest.mark.parametrize("backend", BACKENDS)


def copy_packets(source, target, change):
    """Copy a video packet by packet; ``change(number, packet)`` gives the packet to write, or None to leave it out."""
    with av.open(str(source)) as box, av.open(str(target), "w") as copy:
        stream = copy.add_stream_from_template(box.streams.video[0])
        for number, packet in enumerate(packet for packet in box.demux(video=0) if packet.size):
            changed = change(number, packet)
            if changed is not None:
                changed.stream = stream
                copy.mux(changed)
    return target


@either_library
@pytest.mark.parametrize(
    "codec",
    [
        {},
        {"b_frames": 2},
        {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
        {"codec": "libx264"},
        {"codec": "libx264", "bf": "2"},
    ],
)
def test_empty_entries_of_an_avi_file_are_repeats(tmp_path, write_video, numbers, backend, codec):
    """40 pictures on a clock of 67 ticks: at each tick the last picture so far, and no damage."""
    path = write_video(tmp_path / "a.avi", frames=40, pts=PAUSES, **codec)
    shown = [max(number for number in range(40) if PAUSES[number] <= tick) for tick in range(PAUSES[-1] + 1)]
    with Video(path, backend) as video:
        assert (video.frames, video.fps) == (67, 25)
        assert video.corrupt_frames() == 0
        assert numbers(video.read(range(67))) == shown
        assert numbers(video.read([60, 6, 5, 66])) == [shown[60], shown[6], shown[5], shown[66]]


@either_library
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_elsewhere_pauses_are_no_frames(tmp_path, write_video, numbers, backend, suffix):
    path = write_video(tmp_path / f"a.{suffix}", frames=40, pts=PAUSES, codec="libx264", b_frames=2)
    with Video(path, backend) as video:
        assert (video.frames, video.fps) == (40, pytest.approx(39 / 66 * 25))
        assert numbers(video.read([39, 5, 6])) == [39, 5, 6]


@either_library
@pytest.mark.parametrize("suffix", ["avi", "mp4"])
def test_a_picture_that_is_marked_as_not_coded_is_a_repeat(tmp_path, write_video, numbers, backend, suffix):
    """MPEG-4 says so in a few bytes, for which the decoder gives no picture."""

    def not_coded(number, packet):
        if number not in (5, 6, 20):
            return packet
        bits = f"01{'0'}1{number % 25:05b}10" + "0111111"  # P, this second, tick of 25, not coded, filled up
        empty = av.Packet(b"\0\0\1\xb6" + int(bits[:16], 2).to_bytes(2, "big"))
        empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
        return empty

    path = copy_packets(write_video(tmp_path / f"a.{suffix}"), tmp_path / f"b.{suffix}", not_coded)
    with Video(path, backend) as video:
        assert (video.frames, video.corrupt_frames()) == (50, 0)
        assert [numbers(video.read([number]))[0] for number in (4, 5, 6, 20)] == [4, 4, 4, 19]


@either_library
def test_a_picture_that_only_others_refer_to_is_no_frame(tmp_path, write_video, numbers, backend):
    """VP8 has packets of their own for such pictures, with a bit that says so."""

    def hide(number, packet):
        if number != 7:
            return packet
        content = bytearray(bytes(packet))
        content[0] &= ~0x10
        hidden = av.Packet(bytes(content))
        hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
        return hidden

    path = copy_packets(write_video(tmp_path / "a.webm", codec="libvpx"), tmp_path / "b.webm", hide)
    with Video(path, backend) as video:
        assert (video.frames, video.corrupt_frames()) == (49, 0)
        assert [numbers(video.read([number]))[0] for number in (6, 7, 48)] == [6, 8, 49]


@either_library
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_that_were_made_up_in_copying_are_not_believed(tmp_path, write_video, numbers, backend, suffix):
    """A stream without times, such as H.264 from an AVI file, gets ascending ones, although pictures are reordered."""

    def number_packets(number, packet):
        packet.pts = packet.dts = number
        packet.time_base = Fraction(1, 25)
        return packet

    source = write_video(tmp_path / f"a.{suffix}", codec="libx264", b_frames=2, b_strategy="0")
    path = copy_packets(source, tmp_path / f"b.{suffix}", number_packets)
    with Video(path, backend) as video:
        assert video.frames == 50
        for number in (0, 1, 2, 3, 25, 49):
            assert numbers(video.read([number])) == [number]


@either_library
@pytest.mark.parametrize(("suffix", "codec"), [("ts", "mpeg2video"), ("ts", "libx264"), ("mkv", "mpeg2video")])
def test_a_recording_that_starts_between_keyframes(tmp_path, write_video, numbers, backend, suffix, codec):
    source = write_video(tmp_path / f"a.{suffix}", codec=codec, b_frames=2)
    path = copy_packets(source, tmp_path / f"b.{suffix}", lambda number, packet: packet if number >= 5 else None)
    with Video(path, backend) as video:
        first, *rest = numbers(video.read(range(video.frames)))
        assert 5 <= first <= 14, "the next keyframe is the 13th packet"
        assert [first, *rest] == list(range(first, 50))
        assert [numbers(video.read([number]))[0] for number in (7, 0)] == [first + 7, first]


@either_library
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_may_start_anywhere(tmp_path, write_video, numbers, backend, suffix):
    """Long after zero, or a little, with B-frames or without."""

    def move(number, packet, shift):
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        return packet

    source = write_video(tmp_path / "a.mp4", codec="libx264", b_frames=2)
    with av.open(str(source)) as container:
        tick = round(1 / 25 / container.streams.video[0].time_base)
    for shift in (1000 * tick, 3 * tick):
        path = copy_packets(source, tmp_path / f"b.{suffix}", partial(move, shift=shift))
        with Video(path, backend) as video:
            assert video.frames == 50
            assert [numbers(video.read([number]))[0] for number in (49, 10, 13)] == [49, 10, 13]


@either_library
def test_an_edit_list_that_skips_pictures(tmp_path, write_video, numbers, backend):
    """The box that says at which time the track starts is changed to 0.8 s later: its first 20 frames are not shown."""
    path = write_video(tmp_path / "a.mp4", codec="libx264", b_frames=2)
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
    content = bytearray(path.read_bytes())
    start = content.find(b"elst") + 4 + 4 + 4 + 4  # behind type, version and flags, count, duration
    begin = int.from_bytes(content[start : start + 4], "big") + round(Fraction(20, 25) / base)
    content[start : start + 4] = begin.to_bytes(4, "big")
    path.write_bytes(content)
    with Video(path, backend) as video:
        assert video.frames == 30
        assert numbers(video.read(range(30))) == list(range(20, 50))
        assert numbers(video.read([17])) == [37]


@either_library
def test_a_size_that_changes_midway_stays_that_of_the_stream(tmp_path, numbers, backend):
    path = tmp_path / "a.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for part, (height, width) in enumerate([(48, 64), (24, 32)]):
            encoder = av.CodecContext.create("libvpx", "w")
            encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuv420p"
            encoder.time_base, encoder.framerate = Fraction(1, 25), 25
            packets = []
            for number in range(20 * part, 20 * part + 20):
                bars = np.repeat(number >> np.arange(8) & 1, width // 8).astype(np.uint8)
                pixels = np.ascontiguousarray(np.broadcast_to(255 * bars[:, None], (height, width, 3)))
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                container.mux(packet)
    for wanted in (range(40), [30], [3], [25, 3]):
        with Video(path, backend) as video:
            frames = video.read(wanted)
            assert frames.shape[1:] == (48, 64, 3)
            assert numbers(frames) == list(wanted)
    with Video(path, backend) as video:
        assert video.corrupt_frames() == 0


@pytest.mark.parametrize(("suffix", "tag"), [("mp4", b"avc1"), ("mkv", b"V_MPEG4/ISO/AVC"), ("avi", b"H264")])
def test_a_codec_that_nobody_knows_is_refused_by_name(tmp_path, write_video, one_line, suffix, tag):
    path = write_video(tmp_path / f"a.{suffix}", codec="libx264")
    path.write_bytes(path.read_bytes().replace(tag, b"zzz9" + tag[4:]))
    with pytest.raises(DecodingError) as error, Video(path) as video:
        video.read([0])
    one_line(error, path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mkv", {"codec": "libx264"}),
        ("a.webm", {"codec": "libvpx"}),
        ("a.flv", {"codec": "flv"}),
        ("a.mp4", {"codec": "libx264", "movflags": "+faststart"}),
        ("b.mp4", {"codec": "libx264", "movflags": "frag_keyframe+empty_moov"}),
        ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ],
)
def test_one_missing_frame_is_found_out(tmp_path, write_video, one_line, name, options):
    """A file shorter than its header says by more than half a frame was cut."""
    path = write_video(tmp_path / name, **options)
    with Video(path) as video:
        assert video.frames == 50
    with av.open(str(path)) as container:
        last = max(packet.pos for packet in container.demux(video=0) if packet.size)
    path.write_bytes(path.read_bytes()[: last - 30])
    with pytest.raises(DecodingError) as error:
        Video(path)
    one_line(error, path, "cut off")


def test_a_last_frame_that_stays_is_not_cut_off(tmp_path, write_video):
    path = write_video(tmp_path / "a.mkv", codec="libx264", pts=[*range(49), 1000])
    with Video(path) as video:
        assert video.frames == 50


def test_counting_is_done_once_a_file(tmp_path, write_video, numbers, monkeypatch):
    """Clip after clip is read from the same files; one that was replaced is counted anew."""
    path = write_video(tmp_path / "a.mpg", codec="mpeg2video")
    with Video(path) as video:
        assert video.frames == 50
    monkeypatch.setattr("blockyard.media.frame_index.decode_all", lambda *opened: 1 // 0)
    with Video(path) as video:
        assert video.frames == 50
    monkeypatch.undo()
    write_video(tmp_path / "a.mpg", codec="mpeg2video", frames=30)
    with Video(path) as video:
        assert video.frames == 30


def test_a_file_is_indexed_once_for_as_long_as_it_is_the_same(tmp_path, write_video, monkeypatch):
    """One that was written anew has other frames; what is wrong with one is found each time."""
    indexed = []

    def counted(path, *opened):
        indexed.append(path)
        return index_frames(path, *opened)

    monkeypatch.setattr(frame_index, "index_frames", counted)
    path = write_video(tmp_path / "a.mp4", frames=12)
    for _ in range(3):
        with Video(path) as video:
            assert video.frames == 12
    assert indexed == [path]
    write_video(path, frames=20)
    with Video(path) as video:
        assert video.frames == 20
    path.write_bytes(path.read_bytes()[:-200])
    for _ in range(2):
        with pytest.raises(DecodingError):
            Video(path)


def test_whatever_a_library_raises_names_the_file(tmp_path, write_video, one_line, monkeypatch):
    with Video(write_video(tmp_path / "a.mp4"), "pyav") as video:
        monkeypatch.setattr(video, "_rgb", lambda picture: 1 // 0)
        with pytest.raises(DecodingError) as error:
            video.read([0])
        one_line(error, tmp_path / "a.mp4", "division")
