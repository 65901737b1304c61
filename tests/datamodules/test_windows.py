"""Windows cover a recording."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blockyard.datamodules.windows import Windows, window_starts


def test_windows_cover_a_recording_and_the_last_one_ends_with_it():
    assert window_starts(40, 100, 100) == [0]
    assert window_starts(100, 100, 100) == [0]
    assert window_starts(101, 100, 100) == [0, 1]
    assert window_starts(250, 100, 100) == [0, 100, 150]
    assert window_starts(300, 100, 100) == [0, 100, 200]
    assert window_starts(250, 100, 50) == [0, 50, 100, 150]


@given(st.integers(1, 400), st.integers(1, 100), st.data())
def test_every_sample_is_in_a_window_and_every_window_in_the_recording(samples, length, data):
    hop = data.draw(st.integers(1, length))
    starts = window_starts(samples, length, hop)
    assert starts == sorted(set(starts))
    assert {start + k for start in starts for k in range(length)} >= set(range(samples))
    assert starts[-1] + length == max(samples, length)
    # no more than are needed for a window every hop
    assert len(starts) == 1 + -(-max(0, samples - length) // hop)


def test_windows_know_whose_they_are_and_which_seconds_they_cover():
    laid = Windows()
    laid.lay(0, 0, 40, 100, 100, 10)
    laid.lay(1, 20, 270, 100, 100, 10)
    assert laid.owner == [0, 1, 1, 1]
    assert laid.starts == [0, 20, 120, 170]
    assert laid.seconds == [(0.0, 4.0), (2.0, 12.0), (12.0, 22.0), (17.0, 27.0)]
