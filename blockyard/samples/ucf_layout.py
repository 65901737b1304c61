"""Writes video data sets in exactly UCF-101's published layout: names, groups, lists and their line ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from blockyard.samples.new_folder import new_folder

Frames = NDArray[np.uint8]
"""``(T, H, W, 3)``, RGB."""

GROUPS = 25
TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
"""Groups that each of the three splits tests on; 22 to 25 are always trained on."""
FEWEST_VIDEOS = 4
"""Of a class, so that each split tests on one of them at least and trains on another."""
FPS = 25
QUANTISER = 4 * 118  # of 1 (best) to 31, in FFmpeg's FF_QP2LAMBDA: the same quality whatever the size of the frames
# The one class whose files are spelled otherwise than its folder.
FILE_TOKENS = {"HandstandPushups": "HandStandPushups"}


class Video(NamedTuple):
    """One video of the data set: who, in which group of like recordings, and its number there (both from 1)."""

    action: str
    group: int
    number: int

    @property
    def path(self) -> str:
        """Path as the lists give it, below ``UCF-101``."""
        token = FILE_TOKENS.get(self.action, self.action)
        return f"{self.action}/v_{token}_g{self.group:02d}_c{self.number:02d}.avi"


def plan_videos(actions: Iterable[str], videos_per_class: int) -> list[Video]:
    """Which videos to make: spread evenly over the 25 groups, in the order of the published lists.

    Args:
        actions: Names of the classes.
        videos_per_class: Videos of each class.

    Raises:
        ValueError: If a class is named twice, or there are too few videos for three splits, or more than file names
            can number.
    """
    classes = sort_classes(actions)
    if twice := {action for action in classes if classes.count(action) > 1}:
        raise ValueError(f"classes must differ, but {min(twice)} is there twice")
    most = GROUPS * 99
    if not FEWEST_VIDEOS <= videos_per_class <= most:
        raise ValueError(f"videos_per_class must be {FEWEST_VIDEOS} to {most}, got {videos_per_class}")
    groups = [index * GROUPS // videos_per_class for index in range(videos_per_class)]
    places = [(group + 1, index - groups.index(group) + 1) for index, group in enumerate(groups)]
    return [Video(action, *place) for action in classes for place in places]


def sort_classes(actions: Iterable[str]) -> list[str]:
    """Sort as ``classInd.txt`` does, without regard to case: Hammering comes before HammerThrow."""
    return sorted(actions, key=str.lower)


@contextmanager
def new_data_set(root: Path, videos: Sequence[Video], recipe: dict[str, Any]) -> Iterator[Path | None]:
    """A folder to write the videos into, which becomes ``root`` when all is written, or is gone.

    Args:
        root: Folder of the data set; it gets ``UCF-101`` and ``ucfTrainTestlist``.
        videos: The videos that will be written.
        recipe: What the data set is a function of; kept beside it.

    Yields:
        Where to put the videos, below it as :attr:`Video.path` says; None if ``root`` was made by this recipe before.

    Raises:
        DataError: If ``root`` holds anything else.
    """
    with new_folder(root, recipe) as folder:
        if folder is None:
            yield None
            return
        for action in {video.action for video in videos}:
            (folder / "UCF-101" / action).mkdir(parents=True)
        yield folder / "UCF-101"
        write_lists(folder / "ucfTrainTestlist", videos)


def write_lists(folder: Path, videos: Sequence[Video]) -> None:
    """Write ``classInd.txt`` and the three pairs of lists: Windows line ends, a class index in train lists only.

    Args:
        folder: ``ucfTrainTestlist``; made if need be.
        videos: All videos of the data set.
    """
    classes = sort_classes({video.action for video in videos})
    index = {action: position for position, action in enumerate(classes, start=1)}
    _write_lines(folder / "classInd.txt", (f"{index[action]} {action}" for action in classes))
    for split, groups in TEST_GROUPS.items():
        train = (f"{video.path} {index[video.action]}" for video in videos if video.group not in groups)
        _write_lines(folder / f"trainlist{split:02d}.txt", train)
        _write_lines(folder / f"testlist{split:02d}.txt", (video.path for video in videos if video.group in groups))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode("ascii"))


def write_avi(path: Path, frames: Frames, fps: int = FPS, keyframe_every: int = 12) -> None:
    """Encode a video as UCF-101's are: MPEG-4 (XviD) in an AVI file, one of 12 frames a key frame.

    The same frames give the same bytes.

    Args:
        path: File to write.
        frames: ``(T, H, W, 3)``, uint8, RGB; H and W even.
        fps: Frames a second.
        keyframe_every: Frames from one key frame to the next.
    """
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        context = stream.codec_context
        context.height, context.width = frames.shape[1:3]
        context.pix_fmt = "yuv420p"
        context.codec_tag = "XVID"
        context.gop_size = keyframe_every
        context.thread_count = 1  # slices depend on the number of threads
        context.options = {"flags": "+qscale", "global_quality": str(QUANTISER)}
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode())
