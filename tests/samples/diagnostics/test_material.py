"""What diagnostics are drawn from, and how they are written."""

from __future__ import annotations

from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest

from blockyard.mistakes import DataError
from blockyard.samples.diagnostics.material import COLUMNS, SPLITS, digits, draw_digit, photographs
from blockyard.samples.diagnostics.pairing import hue, write_pairing
from blockyard.samples.diagnostics.product import write_product


def test_no_digit_is_in_two_splits():
    """Nor do two splits hold the same strokes under two names."""
    strokes = {split: {digit.strokes.tobytes() for digit in digits(split)} for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        assert not strokes[one] & strokes[other]


def test_draws_are_of_the_digit_that_is_asked_for():
    random = np.random.default_rng(0)
    assert {draw_digit(random, "val", 7).label for _ in range(20)} == {7}
    assert {draw_digit(random, "val").label for _ in range(200)} == set(range(10))


def test_no_part_of_a_photograph_is_in_two_splits():
    ends = [COLUMNS[split] for split in SPLITS]
    assert all(one[1] <= other[0] for one, other in pairwise(ends))
    for parts in zip(*map(photographs, SPLITS), strict=True):
        assert not any(np.shares_memory(one, other) for one, other in combinations(parts, 2))


def test_opposite_hues_are_opposite_colours():
    for angle in np.linspace(0, 1, 7):
        np.testing.assert_allclose(hue(angle) + hue(angle + 0.5), 1, atol=1e-6)  # float32


def test_a_sample_is_a_function_of_recipe_and_number(tmp_path):
    for name, count in (("few", 2), ("more", 4)):
        write_pairing(tmp_path / name, {"train": count})
    few, more = (sorted((tmp_path / name / "images" / "train").iterdir()) for name in ("few", "more"))
    assert [path.name for path in few] == [path.name for path in more[:2]]
    assert [path.read_bytes() for path in few] == [path.read_bytes() for path in more[:2]]
    write_pairing(tmp_path / "other", {"train": 2}, seed=1)
    other = sorted((tmp_path / "other" / "images" / "train").iterdir())
    assert not {path.name for path in other} & {path.name for path in few}, "data sets are told apart by their names"
    assert other[0].read_bytes() != few[0].read_bytes()


def test_another_recipe_is_not_written_over(tmp_path):
    write_product(tmp_path, {"train": 2})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_product(tmp_path, {"train": 2})
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    with pytest.raises(DataError, match="was written with another samples"):
        write_product(tmp_path, {"train": 3})
    assert cv2.imread(str(next(tmp_path.rglob("*.png")))).shape == (24, 24, 3)
