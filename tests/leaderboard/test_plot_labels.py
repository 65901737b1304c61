"""Names in a plot hide neither each other nor a point."""

from hypothesis import given
from hypothesis import strategies as st

from blockyard.leaderboard import plot_labels
from blockyard.leaderboard.plot_labels import Box, labels

AREA = Box(0, 0, 700, 400)
PLACES = st.tuples(st.text("abc", min_size=1, max_size=40), st.floats(0, 700), st.floats(0, 400))


@given(st.lists(PLACES, max_size=12), st.booleans())
def test_names_meet_nothing(points, barred):
    taken = [Box(across - 6, up - 6, 12, 12) for _, across, up in points]
    bars = [Box(across - 1, 0, 2, 400) for _, across, _ in points] if barred else []
    placed = []
    original = plot_labels._mark

    def keep(text, box, *rest):
        placed.append(box)
        return original(text, box, *rest)

    plot_labels._mark = keep
    try:
        marks = labels(points, taken, bars, AREA)
    finally:
        plot_labels._mark = original
    assert len(marks) == len(placed)
    for index, box in enumerate(placed):
        assert AREA.holds(box)
        assert not any(map(box.meets, taken))
        assert not any(map(box.meets, placed[index + 1 :]))


def test_names_of_points_in_one_place_all_find_room():
    points = [(f"Block{number}", 350.0, 200.0) for number in range(8)]
    marks = labels(points, [Box(344, 194, 12, 12)], [], AREA)
    assert len(marks) == 8
    assert sum("lead-line" in mark for mark in marks) >= 6  # a name beside its point needs no line


def test_long_names_are_cut_and_text_is_escaped():
    (mark,) = labels([("<" * 60, 10.0, 200.0)], [], [], AREA)
    assert "&lt;…</text>" in mark
    assert "<<" not in mark
