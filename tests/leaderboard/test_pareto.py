"""The front holds what nothing beats, and the plot shows every row where it belongs."""

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.leaderboard.pareto import MANY, NUMBERED, Axis, front, plot
from blockyard.leaderboard.statistics import estimate
from blockyard.leaderboard.tables import Row, Table
from blockyard.metrics import metric_named

SVG = "{http://www.w3.org/2000/svg}"


def a_row(score, macs, name="row", seeds=3, baseline=False):
    return Row(
        block=name,
        family=name,
        backbone="PreResNet",
        experiment=f"{name} {score} {macs}",
        baseline=f"{name} {score} {macs}" if baseline else "none",
        score=estimate([score - 0.01, score + 0.01, score][:seeds]),
        difference=None,
        items=None,
        p=None,
        others={},
        parameters=1,
        macs=macs,
        throughput=None,
        peak_memory=None,
    )


def picture(rows, primary="top1"):
    table = Table("ImageClassification", "Digits", metric_named(primary), rows, [])
    return ElementTree.fromstring(plot(table, "t").replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def marks(svg):
    return [mark for kind in ("rect", "circle") for mark in svg.iter(SVG + kind) if "point" in mark.get("class", "")]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=15, unique=True), st.booleans())
def test_the_front_is_what_no_row_beats(values, higher_is_better):
    rows = [a_row(score / 10, macs) for score, macs in values]
    sign = 1 if higher_is_better else -1

    def beats(one, other):
        as_good = sign * one.score.mean >= sign * other.score.mean and one.macs <= other.macs
        return as_good and (one.score.mean != other.score.mean or one.macs != other.macs)

    expected = {row.experiment for row in rows if not any(beats(other, row) for other in rows)}
    assert front(rows, higher_is_better) == expected


def test_equals_are_both_on_the_front():
    rows = [a_row(0.5, 10, "A"), a_row(0.5, 10, "B"), a_row(0.5, 11, "C")]
    assert front(rows, True) == {"A 0.5 10", "B 0.5 10"}


def test_rows_with_few_seeds_are_not_on_the_front():
    rows = [a_row(0.9, 1, "lucky", seeds=2), a_row(0.5, 10, "sure")]
    assert front(rows, True) == {"sure 0.5 10"}
    assert front(rows[:1], True) == set()


@given(st.floats(1e-3, 1e12), st.floats(1.001, 1e6), st.booleans())
def test_ticks_are_round_and_within_the_axis(low, ratio, log):
    axis = Axis(low, low * ratio, 0, 100, log)
    ticks = axis.ticks()
    assert len(ticks) <= 15
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert ticks == sorted(set(ticks))
    if log and ratio >= 10:
        assert len(ticks) >= 1
    if not log:
        assert len(ticks) >= 3


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_maps_its_ends_and_keeps_the_order(log):
    axis = Axis(10, 1000, 50, 250, log)
    assert (axis.at(10), axis.at(1000)) == pytest.approx((50, 250))
    assert axis.at(100) == pytest.approx(150 if log else 50 + 200 * 90 / 990)


def test_points_stand_at_score_and_macs():
    svg = picture([a_row(0.5, 10**6, "none", baseline=True), a_row(0.6, 2 * 10**6, "A"), a_row(0.7, 10**8, "B")])
    square, first, second = marks(svg)
    assert (square.tag, first.tag) == (SVG + "rect", SVG + "circle")
    assert float(first.get("cx")) < float(second.get("cx"))
    assert float(first.get("cy")) > float(second.get("cy"))  # upwards is less in SVG
    assert [text for text in (t.text for t in svg.iter(SVG + "text")) if text and "logarithmic" in text]
    assert len([path for path in svg.iter(SVG + "path") if path.get("class") == "bar"]) == 3


def test_the_picture_is_described_in_words():
    svg = picture([a_row(0.5, 10**6, "none"), a_row(0.4, 10**7, "A")])
    named = svg.get("aria-labelledby").split()
    words = {child.get("id"): child.text for child in svg if child.get("id") in named}
    assert svg.get("role") == "img"
    assert words["t-title"] == "top1 against MACs"
    assert "2 rows. On the front: none: 1 M MACs, top1 50.00 ± 2.48." in words["t-desc"]


@pytest.mark.parametrize(
    "rows",
    [[a_row(0.5, 10)], [a_row(0.5, 0)], [a_row(0, 5), a_row(0, 5)], [a_row(0.5, 0), a_row(0.6, 10**12)]],
    ids=["one", "no MACs", "all the same", "none and many MACs"],
)
def test_any_rows_can_be_drawn(rows):
    assert len(marks(picture(rows))) == len(rows)
    assert "nan" not in plot(Table("T", "D", metric_named("loss"), rows, []), "t")


@pytest.mark.parametrize(
    "scores",
    [(0.3, math.nextafter(0.3, 1)), (5e-324, 1e-322), (-1e-310, 1e-310), (1e-30, 3e-30), (-1e18, 1e18)],
    ids=str,
)
@pytest.mark.parametrize("primary", ["top1", "loss"])
def test_scores_of_any_size_and_distance_can_be_drawn(scores, primary):
    """Two floats side by side, and numbers so small that their differences are rounded to 0."""
    rows = [replace(a_row(0.5, 1, seeds=1), score=estimate([score])) for score in scores]
    assert len(marks(picture(rows, primary))) == 2


def test_names_do_not_lie_on_each_other():
    svg = picture([a_row(0.5 + 0.001 * k, 10**6 + k, f"Block{k}") for k in range(NUMBERED)])
    names = [(float(t.get("x")), float(t.get("y"))) for t in svg.iter(SVG + "text") if t.get("class") == "name"]
    assert names
    places = [(x, y) for x, y in names]
    assert len(set(places)) == len(places)


def test_of_many_rows_the_front_alone_has_names_and_intervals():
    rows = [a_row(0.9, 1, "best"), *(a_row(0.5, 10 + k, f"Block{k}") for k in range(MANY))]
    svg = picture(rows)
    assert len(marks(svg)) == MANY + 1
    assert len(re.findall("Block", ElementTree.tostring(svg, "unicode"))) == 0
    assert len([path for path in svg.iter(SVG + "path") if path.get("class") == "bar"]) == 1
