import re

import av
import numpy as np
import pytest

from blockyard.samples.tiny_videos import MOTIONS, draw_video, write_tiny_videos
from blockyard.samples.ucf_layout import Video

OPPOSITES = [("MoveLeft", "MoveRight"), ("Grow", "Shrink"), ("MoveUp", "MoveDown"), ("TurnLeft", "TurnRight")]


def draw(action, group=3, number=1):
    return draw_video(Video(action, group, number), (48, 48), (16, 24), seed=0)


def read(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize(("action", "opposite"), OPPOSITES)
@pytest.mark.parametrize("group", range(1, 6))
def test_played_backwards_a_video_is_of_the_opposite_class(action, opposite, group):
    np.testing.assert_array_equal(draw(action, group), draw(opposite, group)[::-1])


def test_the_shape_moves_where_its_class_says():
    for group in range(1, 6):
        ground = np.median(np.concatenate([draw("MoveRight", group, number) for number in range(1, 12)]), axis=0)
        mask = np.abs(draw("MoveRight", group) - ground).sum(3) > 60
        columns = [np.nonzero(frame)[1].mean() for frame in (mask[0], mask[-1])]
        assert columns[1] - columns[0] > 10
        areas = (draw("Grow", group) != draw("Shrink", group)[0]).any(3).sum((1, 2))
        assert areas[0] > areas[len(areas) // 2]  # smaller and smaller is the difference to the largest


def test_no_two_videos_of_a_class_are_alike():
    videos = [draw("MoveLeft", group, number) for group in (1, 2) for number in (1, 2)]
    for index, video in enumerate(videos):
        assert not any(np.array_equal(video[0], other[0]) for other in videos[:index])


def test_the_data_set_is_what_was_drawn_and_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        assert write_tiny_videos(tmp_path / name, classes=list(MOTIONS), videos_per_class=4) == tmp_path / name
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 4 * len(MOTIONS) + 7 + 1
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    drawn = draw("Grow", group=1)
    decoded = read(tmp_path / "a/UCF-101/Grow/v_Grow_g01_c01.avi")
    assert decoded.shape == drawn.shape
    assert 16 <= len(drawn) <= 24
    assert np.abs(decoded.astype(int) - drawn).mean() < 8  # half the colour resolution is lost, not more


def test_another_seed_gives_other_videos(tmp_path):
    first, other = (write_tiny_videos(tmp_path / str(seed), videos_per_class=4, seed=seed) for seed in (0, 1))
    name = "UCF-101/Grow/v_Grow_g01_c01.avi"
    assert (first / name).read_bytes() != (other / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"classes": ["MoveLeft", "Grwo"]}, "did you mean Grow?"),
        ({"classes": ["Grow", "Grow"]}, "twice"),
        ({"size": (47, 48)}, "even"),
        ({"frames": (9, 8)}, "fewest"),
        ({"videos_per_class": 3}, "videos_per_class"),
    ],
)
def test_mistakes_are_answered_in_one_line_before_anything_is_written(tmp_path, options, part, one_line):
    with pytest.raises(ValueError, match=re.escape(part)) as error:
        write_tiny_videos(tmp_path / "set", **options)
    one_line(error, part)
    assert list(tmp_path.iterdir()) == []
