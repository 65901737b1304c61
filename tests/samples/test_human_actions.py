import json

import numpy as np
import pytest

from blockyard.samples import packages
from blockyard.samples.human_actions import RECORDINGS, Studio, perform, write_human_actions
from blockyard.samples.humanoid import GARMENTS, POSITION, QUATERNIONS, TURN, Camera, Humanoid, Motion
from blockyard.samples.packages import package_folder
from blockyard.samples.photographs import crop, read_photographs, shift
from blockyard.samples.ucf_layout import Video

pytest.importorskip("pybullet")
SIZE = (48, 64)


@pytest.fixture(scope="module")
def studio():
    return Studio(SIZE, seed=0)


@pytest.fixture(scope="module")
def person():
    person = Humanoid()
    person.dress({garment: np.ones(3) for garment in GARMENTS})
    yield person
    person.close()


@pytest.mark.parametrize("name", [name for names in RECORDINGS.values() for name in names])
def test_a_recording_is_continuous_over_the_rounds(name):
    motion = Motion.read(name)
    step = 1 / 240
    poses = motion.at(np.arange(0, 2.2 * motion.duration, step))
    assert np.abs(np.diff(poses[:, POSITION], axis=0)).max() < 10 * step  # nobody moves faster than 10 m/s
    for start in QUATERNIONS:
        turns = poses[:, start : start + 4]
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        angles = 2 * np.arccos((turns[1:] * turns[:-1]).sum(1).clip(-1, 1))
        assert angles.max() < 40 * step  # nor turns a limb by more than six times a second


def test_at_the_recorded_times_the_poses_are_the_recorded_ones():
    motion = Motion.read("walk")
    content = json.loads((package_folder("pybullet_data") / "data/motions/humanoid3d_walk.txt").read_text())
    times = np.arange(20) * content["Frames"][0][0]
    recorded = np.array(content["Frames"])[:20]
    signs = np.sign((motion.at(times) * recorded)[:, QUATERNIONS[0]])
    np.testing.assert_allclose(motion.at(times)[:, POSITION], recorded[:, POSITION], atol=1e-6)
    np.testing.assert_allclose(motion.at(times)[:, TURN], signs[:, None] * recorded[:, TURN], atol=1e-6)


def test_who_walks_walks_on():
    motion = Motion.read("walk")
    stride = motion.frames[-1, 1] - motion.frames[0, 1]
    first, third = motion.at(np.array([0.3, 0.3 + 2 * motion.duration]))
    assert third[1] - first[1] == pytest.approx(2 * stride)
    assert third[2] == pytest.approx(first[2])  # on the ground
    assert stride > 1


def test_the_body_stands_on_the_ground_and_is_as_tall_as_a_person(person):
    person.pose(Motion.read("walk").at(np.zeros(1))[0])
    camera = Camera(distance=4.0)
    _, covered = person.draw(camera, np.array([0.0, 0.8, 0.0]), (200, 200))
    rows = np.nonzero(covered.max((1, 2)) > 0.5)[0]
    metres = 2 * camera.distance * np.tan(camera.field / 2) / 200
    feet, head = 0.8 + (100 - rows[[-1, 0]]) * metres
    assert -0.1 < feet < 0.15
    assert 1.4 < head < 1.8


def test_each_garment_has_its_colour(person):
    pose = Motion.read("walk").at(np.zeros(1))[0]
    person.pose(pose)
    for garment in GARMENTS:
        person.dress({name: np.array([1.0, 0, 0]) if name == garment else np.array([0, 0, 1.0]) for name in GARMENTS})
        picture, _ = person.draw(Camera(distance=2.5), np.array([0.0, 0.8, 0.0]), (96, 96))
        red = ((picture[..., 0] > 60) & (picture[..., 2] < 20)).sum()
        assert 10 < red < 0.7 * (picture.sum(2) > 0).sum()


def test_what_is_not_covered_is_black(person):
    picture, covered = person.draw(Camera(distance=3.0), np.array([0.0, 0.8, 0.0]), SIZE)
    assert picture.shape == (*SIZE, 3)
    assert covered.shape == (*SIZE, 1)
    assert 0.02 < covered.mean() < 0.5
    assert not picture[covered[..., 0] == 0].any()


def test_the_axes_of_the_picture_are_those_of_the_room_as_seen(person):
    right, up = person.axes(Camera(distance=3.0, yaw=0.7, pitch=-0.2, roll=0.1))
    assert right @ up == pytest.approx(0, abs=1e-6)
    level = person.axes(Camera(distance=3.0))
    np.testing.assert_allclose(level[1], [0, 1, 0], atol=1e-6)


@pytest.mark.parametrize("action", RECORDINGS)
def test_every_action_moves_in_the_picture(studio, action):
    frames = studio.film(Video(action, 5, 1))
    assert frames.shape[1:] == (*SIZE, 3)
    assert 32 <= len(frames) <= 38
    still = np.abs(np.diff(frames.astype(int), axis=0)).mean()
    assert still > 1


def test_a_video_depends_on_its_name_and_the_seed_alone(studio):
    video = Video("Jump", 7, 2)
    first = studio.film(video)
    studio.film(Video("Crawl", 8, 1))
    np.testing.assert_array_equal(studio.film(video), first)
    assert not np.array_equal(Studio(SIZE, seed=1).film(video)[0], first[0])
    assert not np.array_equal(studio.film(Video("Jump", 7, 3))[0], first[0])


def test_a_group_shares_clothes_and_background_over_all_classes(studio):
    walk, run, other = (studio.scene(group) for group in (4, 4, 5))
    np.testing.assert_array_equal(walk.backdrop, run.backdrop)
    assert walk.yaw == run.yaw != other.yaw
    assert not np.array_equal(walk.colours["shirt"], other.colours["shirt"])


@pytest.mark.slow
def test_the_number_of_processes_changes_no_byte(tmp_path):
    options = {"classes": 2, "videos_per_class": 4, "size": (32, 32)}
    one, two = (write_human_actions(tmp_path / str(n), workers=n, **options) for n in (1, 2))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 8 + 7 + 1
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_without_pybullet_one_line_says_what_to_install(tmp_path, monkeypatch, one_line):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pybullet") as error:
        write_human_actions(tmp_path / "set")
    one_line(error, "pip install 'blockyard[samples]'")
    assert list(tmp_path.iterdir()) == []


def test_the_renderer_says_nothing(capfd):
    Humanoid().close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "part"),
    [({"classes": 1}, "2 to 13"), ({"size": (72, 95)}, "even"), ({"workers": 0}, "workers")],
)
def test_mistakes_are_answered_in_one_line(tmp_path, options, part, one_line):
    with pytest.raises(ValueError, match=part) as error:
        write_human_actions(tmp_path / "set", **options)
    one_line(error, part)


def test_backgrounds_are_parts_of_photographs_that_glide():
    photographs = read_photographs()
    random = np.random.default_rng(0)
    for photograph in photographs:
        part = crop(random, photograph, SIZE)
        assert part.shape == (*SIZE, 3)
        assert part.std() > 5
        np.testing.assert_array_equal(shift(part, 3, -2)[:-2, 3:], part[2:, :-3])


def test_who_gets_up_is_not_seen_lying_down_again():
    motion = Motion.read("getup_facedown")
    for seed in range(20):
        heights = perform(np.random.default_rng(seed), motion)[:, 2]
        assert heights[-1] > heights[0] + 0.1
    kick = Motion.read("kick")  # too short for a video: it is seen again, from any moment on
    first_poses = [perform(np.random.default_rng(seed), kick)[0, 1] for seed in range(20)]
    assert np.ptp(first_poses) > 0.5
