"""As many windows whatever the size, over every pixel, each overlapping the one before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockyard.datamodules.video.sliding_windows import SlidingWindows

WINDOWS = st.builds(SlidingWindows, st.integers(2, 12), st.integers(1, 5), st.integers(1, 5))


@given(windows=WINDOWS, height=st.integers(1, 90), width=st.integers(1, 90))
@settings(deadline=None)
def test_pictures_of_every_size_give_as_many_windows_that_cover_them_each_overlapping_the_last(windows, height, width):
    height, width = windows.fitting(height, width)
    places, size = windows.places(height, width), windows.size
    assert len(places) == windows.frames
    assert windows.fitting(height, width) == (height, width)
    seen = np.zeros((height, width), bool)
    for top, left in places:
        assert 0 <= top <= height - size
        assert 0 <= left <= width - size
        seen[top : top + size, left : left + size] = True
    assert seen.all()
    steps = np.abs(np.diff(places, axis=0))
    assert (steps < size).all()  # an overlap of a pixel at least, and along one axis at a time
    assert (steps.min(1, initial=size) == 0).all()


@given(windows=WINDOWS, height=st.integers(1, 90), width=st.integers(1, 90))
@settings(deadline=None)
def test_only_what_windows_cannot_cover_and_what_is_smaller_than_one_is_resized(windows, height, width):
    most = windows.largest
    fits = all(windows.size <= side <= limit for side, limit in zip((height, width), most, strict=True))
    assert (windows.fitting(height, width) == (height, width)) == fits


def test_windows_pass_the_rows_there_and_back():
    places = SlidingWindows(4, 3, 3).places(8, 10)
    lefts = [0, 3, 6]
    expected = [(0, left) for left in lefts] + [(2, left) for left in lefts[::-1]] + [(4, left) for left in lefts]
    assert [tuple(place) for place in places.tolist()] == expected


def test_windows_are_crops_and_a_picture_of_their_size_is_each_of_them():
    windows, random = SlidingWindows(5, 2, 3), np.random.default_rng(0)
    picture = random.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    for cut, (top, left) in zip(windows.cut(picture), windows.places(7, 9), strict=True):
        assert np.array_equal(cut, picture[top : top + 5, left : left + 5])
    assert (windows.cut(picture[:5, :5]) == picture[:5, :5]).all()


def test_small_pictures_are_enlarged_and_large_ones_made_smaller_in_their_proportions():
    windows = SlidingWindows(10, 4, 4)
    assert windows.largest == (37, 37)
    assert windows.fitting(5, 10) == (10, 20)
    assert windows.fitting(74, 37) == (37, 18)
    assert windows.fitting(2, 100) == (10, 37)  # too long to keep them
    for shape in ((5, 10, 1), (74, 37, 3)):
        assert windows.cut(np.full(shape, 7, np.uint8)).shape == (16, 10, 10, shape[2])
        assert (windows.cut(np.full(shape, 7, np.uint8)) == 7).all()


@pytest.mark.parametrize("numbers", [(1, 2, 2), (4, 0, 2), (4, 2, 0)])
def test_numbers_that_make_no_windows_are_refused(numbers):
    with pytest.raises(ValueError, match="must be at least 2, rows="):
        SlidingWindows(*numbers)
