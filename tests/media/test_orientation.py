"""Which way up: as a player shows it, by either library."""

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from blockyard.media.decoding import DecodingError, Video, default_backend
from blockyard.media.orientation import UPRIGHT, orientation_of

H, W = 32, 64
CORNERS = {"red": (0, 0), "green": (0, 1), "blue": (1, 0), "grey": (1, 1)}  # row and column of a quarter
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220), "grey": (128, 128, 128)}
BACKENDS = [
    "pyav",
    pytest.param("torchcodec", marks=pytest.mark.skipif(default_backend() != "torchcodec", reason="no FFmpeg here")),
]
TURNS = [(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (False, True)]


def write(path, **turn):
    """Frames whose quarters have four colours; upright they are wide."""
    pixels = np.empty((H, W, 3), np.uint8)
    for colour, (row, column) in CORNERS.items():
        pixels[row * H // 2 : (row + 1) * H // 2, column * W // 2 : (column + 1) * W // 2] = COLOURS[colour]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        if turn:
            stream.set_display_rotation(**turn)
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def corners(frame):
    """The colour in each quarter of a frame (H, W, 3), by its row and column."""
    height, width = frame.shape[:2]
    places = {(r, c): frame[height // 4 + r * height // 2, width // 4 + c * width // 2] for r in (0, 1) for c in (0, 1)}
    names = list(COLOURS)
    distances = {
        place: [np.abs(pixel - np.array(COLOURS[name])).sum() for name in names] for place, pixel in places.items()
    }
    return {place: names[int(np.argmin(distance))] for place, distance in distances.items()}


def shown_corners(matrix):
    """Where the matrix (2, 2) puts the quarters: row vectors (x, y), from the middle of the picture, times it."""
    moved = {}
    for colour, (row, column) in CORNERS.items():
        x, y = np.array([2 * column - 1, 2 * row - 1]) @ matrix
        moved[int(y > 0), int(x > 0)] = colour
    return moved


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("degrees", "mirrored"), TURNS)
def test_all_eight_ways_in_which_a_picture_can_lie(tmp_path, backend, suffix, degrees, mirrored):
    path = write(tmp_path / f"a.{suffix}", degrees=degrees, hflip=mirrored)
    with av.open(str(path)) as container:
        side_data = next(container.decode(video=0)).side_data.get("DISPLAYMATRIX")
    matrix = np.eye(2) if side_data is None else np.frombuffer(side_data, np.int32).reshape(3, 3)[:2, :2] / 2**16
    assert (side_data is None) == ((degrees, mirrored) == (0, False))
    with Video(path, backend) as video:
        frames = video.read([0, 3])
        assert video.corrupt_frames() == 0
    assert frames.shape == (2, *((W, H) if degrees % 180 else (H, W)), 3)
    for frame in frames:
        assert corners(frame) == shown_corners(matrix)


def test_the_eight_are_eight(tmp_path):
    seen = set()
    for degrees, mirrored in TURNS:
        with Video(write(tmp_path / "a.mp4", degrees=degrees, hflip=mirrored)) as video:
            seen.add(tuple(sorted(corners(video.read([0])[0]).items())))
    assert len(seen) == 8


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("turn", [{"degrees": 45}, {"degrees": 3}, {"degrees": 100, "hflip": True}])
def test_other_angles_are_refused_by_name(tmp_path, one_line, backend, turn):
    """A frame turned by 45 degrees is no rectangle, and without its matrix it is not what players show."""
    path = write(tmp_path / "a.mp4", **turn)
    with Video(path, backend) as video:
        for look in (lambda: video.read([0]), video.corrupt_frames):
            with pytest.raises(DecodingError) as error:
                look()
            one_line(error, path, "display matrix")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_matrix_of_zeros_means_nothing_and_its_scale_neither(tmp_path, backend):
    content = bytearray(write(tmp_path / "a.mp4", degrees=0, hflip=True).read_bytes())
    start = content.find(b"tkhd") + 4 + 4 + 20 + 16  # behind type, version and flags, times, layer and volume
    for factor, mirrored in ((0, False), (3, True)):
        stored = np.frombuffer(bytes(content[start : start + 32]), ">i4")
        changed = content[:start] + (factor * stored).astype(">i4").tobytes() + content[start + 32 :]
        (tmp_path / "b.mp4").write_bytes(changed)
        with Video(tmp_path / "b.mp4", backend) as video:
            assert corners(video.read([0])[0])[0, 0] == ("green" if mirrored else "red")


def test_a_container_without_a_matrix_is_upright(tmp_path):
    with Video(write(tmp_path / "a.avi", degrees=90)) as video:
        assert video.read([0]).shape == (1, H, W, 3)
    assert orientation_of(VideoFrame(W, H)) == UPRIGHT
