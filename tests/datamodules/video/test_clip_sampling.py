"""Which frames make a clip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.datamodules.video.clip_sampling import ClipShape, random_clip, uniform_clips

shapes = st.builds(
    ClipShape,
    frames=st.integers(1, 40),
    stride=st.integers(1, 8),
    fps=st.none() | st.floats(1, 120),
    sampling=st.sampled_from(["dense", "segments"]),
)
rates = st.floats(5, 120)


@given(frames=st.integers(1, 400), fps=rates, shape=shapes, seed=st.integers(0, 9), clips=st.integers(1, 12))
def test_every_clip_is_made_of_frames_that_there_are(frames, fps, shape, seed, clips):
    one = random_clip(frames, fps, shape, np.random.default_rng(seed))
    many = uniform_clips(frames, fps, shape, clips)
    assert one.shape == (shape.frames,)
    assert many.shape == (clips, shape.frames)
    for clip in (one, *many):
        assert clip.min() >= 0
        assert clip.max() < frames


@given(fps=rates, shape=shapes, seed=st.integers(0, 9))
def test_a_video_long_enough_is_not_looped(fps, shape, seed):
    frames = 1 + int(np.ceil(shape.frames * shape.step(fps)))
    assert (np.diff(random_clip(frames, fps, shape, np.random.default_rng(seed))) >= 0).all()
    assert (np.diff(uniform_clips(frames, fps, shape, 3), axis=1) >= 0).all()


def test_a_short_video_is_looped():
    assert uniform_clips(3, 25, ClipShape(frames=8, stride=1), 1).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert uniform_clips(5, 25, ClipShape(frames=4, stride=2), 2).tolist() == [[0, 2, 4, 1]] * 2


def test_uniform_clips_reach_from_the_first_frame_to_the_last():
    shape = ClipShape(frames=3, stride=2)
    assert uniform_clips(11, 25, shape, 3).tolist() == [[0, 2, 4], [3, 5, 7], [6, 8, 10]]
    assert uniform_clips(11, 25, shape, 1).tolist() == [[3, 5, 7]]


def test_every_start_is_equally_likely():
    shape, rng = ClipShape(frames=4, stride=2), np.random.default_rng(0)
    starts = np.array([random_clip(12, 25, shape, rng)[0] for _ in range(3000)])
    counts = np.bincount(starts)
    assert len(counts) == 6  # 12 frames, of which a clip spans 7
    assert abs(counts / 3000 - 1 / 6).max() < 0.03  # four standard deviations


def test_each_segment_gives_one_frame():
    shape, rng = ClipShape(frames=4, sampling="segments"), np.random.default_rng(0)
    clips = np.stack([random_clip(20, 25, shape, rng) for _ in range(300)])
    for segment in range(4):
        assert sorted(set(clips[:, segment])) == list(range(5 * segment, 5 * segment + 5))
    assert uniform_clips(20, 25, shape, 1).tolist() == [[2, 7, 12, 17]]
    assert uniform_clips(20, 25, shape, 5)[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_rate_makes_clips_last_equally_long():
    shape = ClipShape(frames=9, stride=2, fps=25)
    for fps in (12.5, 25, 50):
        clip = uniform_clips(1000, fps, shape, 1)[0]
        assert (clip[-1] - clip[0]) / fps == pytest.approx(16 / 25)
    slow = uniform_clips(1000, 10, ClipShape(frames=5, stride=1, fps=25), 1)[0]
    assert (slow - slow[0]).tolist() == [0, 0, 0, 1, 1]  # frames are repeated where the video has fewer


def test_rounding_does_not_stutter():
    clip = uniform_clips(500, 29.97, ClipShape(frames=50, stride=2, fps=29.97), 1)[0]
    assert set(np.diff(clip)) == {2}


@pytest.mark.parametrize("options", [{"frames": 0}, {"stride": 0}, {"fps": 0}, {"fps": -1.0}, {"sampling": "tsn"}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ClipShape(**options)
