import re
from collections import Counter

import av
import numpy as np
import pytest

from blockyard.samples.ucf_layout import (
    GROUPS,
    TEST_GROUPS,
    Video,
    new_data_set,
    plan_videos,
    write_avi,
    write_lists,
)

ACTIONS = ["HammerThrow", "Hammering", "HandstandPushups"]


@pytest.fixture
def lists(tmp_path):
    write_lists(tmp_path, plan_videos(ACTIONS, 30))
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def lines(content: bytes) -> list[str]:
    assert content.endswith(b"\r\n")
    assert content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n")
    return content.decode("ascii").split("\r\n")[:-1]


def test_the_seven_lists_are_the_published_ones(lists):
    assert sorted(lists) == ["classInd.txt"] + [f"{part}list0{n}.txt" for part in ("test", "train") for n in (1, 2, 3)]


def test_classes_are_numbered_from_one_and_sorted_without_regard_to_case(lists):
    assert lines(lists["classInd.txt"]) == ["1 Hammering", "2 HammerThrow", "3 HandstandPushups"]


def test_train_lists_have_the_class_index_and_test_lists_have_none(lists):
    index = dict(line.split(" ")[::-1] for line in lines(lists["classInd.txt"]))
    for split in (1, 2, 3):
        for line in lines(lists[f"trainlist0{split}.txt"]):
            path, label = line.split(" ")
            assert index[path.split("/")[0]] == label
        assert all(re.fullmatch(r"\w+/v_\w+_g\d\d_c\d\d\.avi", line) for line in lines(lists[f"testlist0{split}.txt"]))


def test_each_split_tests_on_its_own_seven_groups_and_trains_on_the_rest(lists):
    published = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
    for split, groups in published.items():
        tested, trained = (
            [int(re.search(r"_g(\d\d)_", line)[1]) for line in lines(lists[f"{part}list0{split}.txt"])]
            for part in ("test", "train")
        )
        assert set(tested) == set(groups)
        assert set(trained) == set(range(1, 26)) - set(groups)
        assert len(tested) + len(trained) == 30 * len(ACTIONS)


def test_one_class_spells_its_files_otherwise_than_its_folder():
    assert Video("HandstandPushups", 3, 4).path == "HandstandPushups/v_HandStandPushups_g03_c04.avi"
    assert Video("Hammering", 25, 10).path == "Hammering/v_Hammering_g25_c10.avi"


@pytest.mark.parametrize("count", [4, 5, 13, 25, 26, 100])
def test_any_number_of_videos_is_spread_evenly_and_tested_in_every_split(count):
    videos = plan_videos(["Walk"], count)
    per_group = Counter(video.group for video in videos)
    assert videos == sorted(set(videos))
    assert len(videos) == count
    assert max(per_group.values()) - min(per_group.get(group, 0) for group in range(1, GROUPS + 1)) <= 1
    for groups in TEST_GROUPS.values():
        assert 0 < sum(video.group in groups for video in videos) < count
    for group, number in per_group.items():
        assert [video.number for video in videos if video.group == group] == list(range(1, number + 1))


@pytest.mark.parametrize("count", [3, 2476])
def test_too_few_or_too_many_videos_are_refused(count, one_line):
    with pytest.raises(ValueError, match="videos_per_class") as error:
        plan_videos(["Walk"], count)
    one_line(error, "4 to 2475", count)


def test_a_video_is_mpeg4_in_avi_with_a_key_frame_every_twelve(tmp_path):
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    frames = np.stack([np.broadcast_to(np.roll(ramp, 2 * t)[None, :, None], (48, 64, 3)) for t in range(30)])
    write_avi(tmp_path / "a.avi", frames)
    write_avi(tmp_path / "b.avi", frames)
    assert (tmp_path / "a.avi").read_bytes() == (tmp_path / "b.avi").read_bytes()
    with av.open(str(tmp_path / "a.avi")) as container:
        stream = container.streams.video[0]
        assert (container.format.name, stream.codec_context.name) == ("avi", "mpeg4")
        assert stream.codec_context.codec_tag == "XVID"
        assert (stream.frames, stream.average_rate) == (30, 25)
        decoded = list(container.decode(stream))
    assert [index for index, frame in enumerate(decoded) if frame.key_frame] == [0, 12, 24]
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    assert pixels.shape == frames.shape
    assert np.abs(pixels.astype(int) - frames).mean() < 6  # lossy; unrelated frames differ by 85


def make(root, recipe, fail=False):
    videos = plan_videos(["Walk", "Run"], 4)
    with new_data_set(root, videos, recipe) as folder:
        if folder is None:
            return False
        for video in videos:
            (folder / video.path).write_bytes(b"film")
            if fail:
                raise KeyboardInterrupt
    return True


def test_a_finished_data_set_is_not_made_again(tmp_path):
    root = tmp_path / "data" / "set"
    assert make(root, {"size": (1, 2)})
    assert len(list((root / "UCF-101").glob("*/*.avi"))) == 8
    assert len(list((root / "ucfTrainTestlist").iterdir())) == 7
    assert not make(root, {"size": (1, 2)})


def test_an_interrupted_one_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "set", {}, fail=True)
    assert list(tmp_path.iterdir()) == []
    assert make(tmp_path / "set", {})


def test_an_empty_folder_is_used_and_a_full_one_never_touched(tmp_path, one_line):
    (tmp_path / "empty").mkdir()
    assert make(tmp_path / "empty", {})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("the only copy")
    with pytest.raises(ValueError, match="not written by this generator") as error:
        make(tmp_path / "full", {})
    one_line(error, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_another_recipe_is_refused_by_what_differs(tmp_path, one_line):
    make(tmp_path / "set", {"seed": 0, "classes": 2})
    with pytest.raises(ValueError, match="another seed") as error:
        make(tmp_path / "set", {"seed": 1, "classes": 2})
    one_line(error, tmp_path / "set")


def test_of_two_processes_that_make_the_same_the_later_one_yields(tmp_path):
    root, videos = tmp_path / "set", plan_videos(["Walk"], 4)
    with new_data_set(root, videos, {}) as folder:
        assert make(root, {})
        for video in videos:
            (folder / video.path).write_bytes(b"late")
    assert {path.read_bytes() for path in root.glob("UCF-101/*/*")} == {b"film"}
    assert list(tmp_path.iterdir()) == [root]
