"""What the sensors tell of a motion is what the recorded joints do, as each person would do it."""

from __future__ import annotations

import csv
import filecmp
from pathlib import Path

import numpy as np
import pytest

from blockyard.media.signal_files import read_signal
from blockyard.mistakes import DataError
from blockyard.samples import packages
from blockyard.samples.human_actions import RECORDINGS
from blockyard.samples.humanoid import BALLS, HINGES, Motion
from blockyard.samples.motions import JOINTS, MIRRORED, NOISE, Person, bends, measure, write_motions

pytest.importorskip("pybullet")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_motions(tmp_path_factory.mktemp("motions") / "set", subjects=4, takes=1)


def test_every_joint_that_moves_is_a_channel():
    assert sorted(JOINTS.values()) == sorted(BALLS | HINGES)
    sides = [name.replace("left", "right") if "left" in name else name.replace("right", "left") for name in JOINTS]
    assert [list(JOINTS)[k] for k in MIRRORED] == sides


def test_a_joint_bends_by_the_angle_of_its_rotation():
    poses = np.zeros((3, 44))
    for start in BALLS.values():
        poses[:, start] = 1
    angle, axis = np.array([0.0, 0.7, 2.5]), np.array([0.6, 0.0, 0.8])
    shoulder = BALLS[JOINTS["left_shoulder"]]
    poses[:, shoulder : shoulder + 4] = 2 * np.column_stack([np.cos(angle / 2), np.sin(angle / 2)[:, None] * axis])
    poses[:, HINGES[JOINTS["left_knee"]]] = -angle
    found = bends(poses)
    names = list(JOINTS)
    np.testing.assert_allclose(found[:, names.index("left_shoulder")], angle, atol=1e-7)
    np.testing.assert_allclose(found[:, names.index("left_knee")], angle, atol=1e-7)
    assert found.sum() == pytest.approx(2 * angle.sum())
    poses[:, shoulder : shoulder + 4] *= -1
    np.testing.assert_allclose(bends(poses), found, atol=1e-7)  # q and -q are the same rotation


def test_who_is_measured_without_error_does_what_was_recorded():
    motion, one = Motion.read("walk"), np.ones(12)
    person = Person(rate=50, tempo=2.0, gain=one, offset=0 * one, mirrored=False)
    angles = measure(np.random.default_rng(0), person, motion)
    assert 4 * 50 <= len(angles) <= 7 * 50
    rounds = round(motion.duration / 2 * 50 * 2)  # two rounds, at twice the tempo
    assert np.std(angles[rounds:] - angles[:-rounds]) == pytest.approx(np.sqrt(2) * NOISE, rel=0.15)
    other = measure(np.random.default_rng(0), Person(50, 2.0, one, 0 * one, mirrored=True), motion)
    noise = np.random.default_rng(0)
    noise.uniform(size=2)
    drawn = noise.normal(0, NOISE, size=angles.shape)
    np.testing.assert_allclose((angles - drawn)[:, MIRRORED], other - drawn, atol=1e-12)


def test_the_manifest_says_who_does_what(root):
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 13
    assert {row["label"] for row in rows} == set(RECORDINGS)
    for row in rows:
        signal = read_signal(root / row["file"])
        assert signal.names == tuple(JOINTS)
        assert signal.rate == (50 if row["subject"] in ("person001", "person003") else 25)
        assert 4 <= len(signal.values) / signal.rate <= 7
        assert np.isfinite(signal.values).all()
    assert sorted(path.name for path in root.iterdir()) == ["manifest.csv", "recipe.json", "recordings"]


def test_the_same_seed_gives_the_same_bytes(root, tmp_path):
    for seed, same in ((0, True), (1, False)):
        other = write_motions(tmp_path / str(seed), subjects=4, takes=1, seed=seed)
        names = [path.name for path in (root / "recordings").iterdir()]
        _, differing, _ = filecmp.cmpfiles(root / "recordings", other / "recordings", names, shallow=False)
        assert bool(differing) is not same
        assert filecmp.cmp(root / "manifest.csv", other / "manifest.csv", shallow=False)
    with pytest.raises(DataError, match="was written with another seed"):
        write_motions(other, subjects=4, takes=1)


def test_more_people_and_takes_leave_the_others_as_they_are(root, tmp_path):
    more = write_motions(tmp_path / "more", subjects=5, takes=2)
    names = [path.name for path in (root / "recordings").iterdir()]
    assert filecmp.cmpfiles(root / "recordings", more / "recordings", names, shallow=False)[0] == names
    assert len(list((more / "recordings").iterdir())) == 5 * 2 * 13


def test_mistakes(tmp_path, monkeypatch):
    for options in ({"subjects": 3}, {"takes": 0}, {"takes": 100}):
        with pytest.raises(ValueError, match="must be"):
            write_motions(tmp_path / "a", **options)
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs pybullet"):
        write_motions(tmp_path / "a")
    assert not list(tmp_path.iterdir())
