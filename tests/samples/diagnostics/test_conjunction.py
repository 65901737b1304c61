"""No position sees both digits, and either alone says nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np

from blockyard.samples.diagnostics.conjunction import CLASSES, ENDS, HEIGHT, WIDTH, WOBBLE, write_conjunction
from blockyard.samples.diagnostics.material import SIDE, digits

LEFT, RIGHT = (slice(first, first + SIDE + WOBBLE - 1) for first in ENDS)


def test_no_position_sees_both(fields):
    """So that the mean over positions adds what is known of one to what is known of the other."""
    sight = fields(HEIGHT, WIDTH)
    both = sight[:, :, LEFT].any((1, 2)) & sight[:, :, RIGHT].any((1, 2))
    assert sight[:, :, LEFT].any()
    assert sight[:, :, RIGHT].any()
    assert not both.any()
    assert max(int(field.any(0).sum()) for field in sight) == 25, "as docs/diagnostics.md says"


def test_every_combination_is_as_frequent(tmp_path, read):
    write_conjunction(tmp_path, {"test": 8})
    assert {path.name for path in (tmp_path / "test").iterdir()} == set(CLASSES)
    shown: Counter[tuple[str, int, int]] = Counter()
    for title in CLASSES:
        for canvas in read(tmp_path / "test" / title):
            left, right = (_label(canvas[:, part, 0]) for part in (LEFT, RIGHT))
            assert (left == right) == (title == "same")
            shown[title, left, right] += 1
    assert sorted(shown.values()) == [8, 8, 8, 8]


def _label(part: np.ndarray) -> int:
    """What the digit is that lies somewhere in a part of the canvas."""
    windows = np.lib.stride_tricks.sliding_window_view(part / 255, (SIDE, SIDE)).reshape(-1, SIDE, SIDE)
    return min(digits("test"), key=lambda digit: np.abs(windows - digit.strokes).max((1, 2)).min()).label
