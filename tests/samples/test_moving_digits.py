"""Digits that move: each in one video alone, whole in every frame, on a straight line between two walls."""

from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np
import pytest

from blockyard.samples.modules import MovingDigits
from blockyard.samples.moving_digits import FASTEST, move, write_moving_digits


def centres(frames: np.ndarray) -> np.ndarray:
    """Centres of mass ``(T, 2)`` of what is bright, in pixels."""
    light = frames[..., 0].astype(float)
    axes = [light.sum(axis) / light.sum((1, 2))[:, None] for axis in (1, 2)]
    return np.stack([mass @ np.arange(mass.shape[1]) for mass in axes], 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_digit_moves_straight_on_until_it_is_thrown_back(seed: int):
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 4:24] = 200  # all of the room that MNIST's digits have
    frames = move(digit, 32, 40, np.random.default_rng(seed))
    assert frames.shape == (40, 32, 32, 3)
    light = frames[..., 0].sum((1, 2), dtype=float)
    np.testing.assert_allclose(light, 200 * 400, rtol=0.01)  # it is whole in each, but for rounding
    steps = np.abs(np.diff(centres(frames), axis=0))
    for axis in range(2):  # of one length, but where it turns
        speed = np.median(steps[:, axis])
        assert speed <= FASTEST
        turns = ~np.isclose(steps[:, axis], speed, atol=0.07)
        assert turns.sum() <= 1 + 40 * speed / 12


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    root, again, other = (
        write_moving_digits(tmp_path / name, videos_per_class=5, frames=2, seed=seed)
        for name, seed in (("one", 0), ("again", 0), ("other", 1))
    )
    files = sorted(file.relative_to(root) for file in root.glob("UCF-101/*/*.avi"))
    assert len(files) == 50
    assert all(filecmp.cmp(root / file, again / file, shallow=False) for file in files)
    assert not any(filecmp.cmp(root / file, other / file, shallow=False) for file in files)


def test_every_video_is_in_one_split(tmp_path: Path):
    options = {"frames": 2, "stride": 1, "size": 32, "resize": 32, "jitter": 1.0, "clips": 1, "mean": 3 * (0.1,)}
    data = MovingDigits(str(tmp_path / "digits"), videos_per_class=5, val_fraction=0.25, **options)
    data.prepare_data()
    seen = [data.load(split) for split in ("train", "val", "test")]
    assert sum(map(len, seen)) == 50
    assert data.classes == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"size": 22}, "even number of 24 and more"),
        ({"frames": 0}, "frames positive"),
        ({"videos_per_class": 501}, "at most 500"),
    ],
)
def test_wrong_numbers(tmp_path: Path, options: dict[str, int], why: str):
    with pytest.raises(ValueError, match=why):
        write_moving_digits(tmp_path / "digits", **options)
