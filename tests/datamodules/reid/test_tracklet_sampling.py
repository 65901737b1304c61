"""Which frames make a clip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.datamodules.reid.tracklet_sampling import (
    dense_clips,
    evenly,
    first_of_chunks,
    random_clip,
    random_in_chunks,
)

lengths, frames, strides = st.integers(1, 100), st.integers(1, 9), st.integers(1, 9)


@given(lengths, frames, strides)
def test_dense_clips_show_every_frame(length, frames, stride):
    clips = dense_clips(length, frames, stride)
    assert clips.shape[1] == frames
    shown = [np.unique(clip) for clip in clips]
    assert sorted(np.concatenate(shown).tolist()) == list(range(length)), "each in one clip alone"
    assert (np.diff(clips, axis=1) >= 0).all()


def test_dense_clips_interleave():
    assert dense_clips(8, 2, 4).tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert dense_clips(5, 2, 1).tolist() == [[0, 1], [2, 3], [4, 4]], "the last frame is repeated"
    assert dense_clips(3, 4, 8).tolist() == [[0, 1, 2, 2]], "frames of a short tracklet are neighbours"


@given(lengths, frames, strides, st.integers(0, 9))
def test_random_clips_keep_the_stride_where_they_can(length, frames, stride, seed):
    clip = random_clip(length, frames, stride, np.random.default_rng(seed))
    assert clip.shape == (frames,)
    assert 0 <= clip.min() <= clip.max() < length
    if length >= (frames - 1) * stride + 1:
        assert set(np.diff(clip).tolist()) <= {stride}
    elif length >= frames:
        assert len(set(clip.tolist())) == frames, "stepped through more finely"
    else:
        assert clip.tolist() == [*range(length), *[length - 1] * (frames - length)]


def test_random_clips_start_anywhere():
    starts = {int(random_clip(10, 3, 2, np.random.default_rng(seed))[0]) for seed in range(200)}
    assert starts == set(range(6))


@given(lengths, frames, st.integers(0, 9))
def test_chunks_are_equal_parts(length, frames, seed):
    first = first_of_chunks(length, frames)[0]
    drawn = random_in_chunks(length, frames, np.random.default_rng(seed))
    if length < frames:
        assert drawn.tolist() == first.tolist() == [*range(length), *[length - 1] * (frames - length)]
        return
    ends = np.append(first[1:], length)
    assert (first <= drawn).all()
    assert (drawn < ends).all()
    assert np.ptp(ends - first) <= 1


@pytest.mark.parametrize(("length", "expected"), [(8, [0, 2, 4, 6]), (11, [0, 2, 4, 6]), (3, [0, 1, 2, 2])])
def test_evenly_cuts_off_what_is_no_multiple(length, expected):
    assert evenly(length, 4).tolist() == [expected]
