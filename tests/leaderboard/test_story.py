"""The first screen says what is significant, at what cost, and says so where nothing is."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from blockyard.leaderboard.profile import Cell, Profile
from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.story import Effect, Finding, findings, story, strip
from blockyard.leaderboard.tables import tables
from blockyard.metrics import metric_named

HOSTILE = "<script>alert(1)</script>"
JITTER = (0.0, 0.001, 0.004, 0.002, 0.003)


@pytest.fixture
def runs(make_record):
    """``runs(block, gain, seeds=5, **fields)``."""

    def make(block, gain, seeds=5, **fields):
        spread = JITTER if block is None else JITTER[::-1]
        return [make_record(0.8 + gain + spread[seed], seed, block, **fields) for seed in range(seeds)]

    return make


@pytest.fixture
def study(runs):
    """Nonlocal helps most, ECA is cheaper, MixStyle harms, GlobalContext does nothing that is sure."""
    return [
        *runs(None, 0, macs=1000, parameters=100),
        *runs("Nonlocal", 0.1, macs=1500, parameters=160),
        *runs("ECA", 0.05, macs=1000, parameters=103),
        *runs("MixStyle", -0.05, macs=1000, parameters=100),
        *runs("GlobalContext", 0.0001, macs=1001, parameters=110),
    ]


def text_of(html):
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(html)
    return " ".join("".join(found).split())


def test_it_says_what_helps_most_what_is_cheapest_and_how_many_of_each(study):
    (found,) = findings(tables(study), None)
    assert [effect.block.partition(" ")[0] for effect in found.of("better")] == ["Nonlocal", "ECA"]
    assert [len(found.of(said)) for said in ("better", "worse", "unclear")] == [2, 1, 1]
    text = text_of(story(tables(study), None))
    assert "Some block helps on 1 of 1 data set" in text
    assert "Nonlocal @ stage2.1 +10.00 ± " in text
    assert "+50.0 % MACs, +60 parameters" in text
    assert "ECA @ stage2.1 +5.00 ± " in text
    assert "+0.0 % MACs, +3 parameters" in text
    assert "▲ 2 better ▼ 1 worse ≈ 1 unclear" in text


@pytest.mark.parametrize("seeds", [1, 3, 4])
def test_with_few_seeds_nothing_can_be_told_apart(runs, seeds):
    """However large the difference: its interval is no test."""
    text = text_of(story(tables([*runs(None, 0, seeds), *runs("Nonlocal", 0.15, seeds)]), None))
    assert text.startswith("Nothing can be told apart yet: ")
    assert f"1 comparison, {seeds} seed{'s' if seeds > 1 else ''}" in text
    assert "▲" not in text


def test_a_difference_that_is_not_significant_is_none(runs):
    text = text_of(story(tables([*runs(None, 0), *runs("Nonlocal", 0.0002)]), None))
    assert text.startswith("Nothing can be told apart yet")


def test_where_less_is_better_the_lowest_helps_most(runs):
    losses = {"primary": "loss", "higher_is_better": False}

    def as_loss(record):
        return replace(record, metrics={"loss": record.metrics["top1"]}, **losses)

    (found,) = findings(tables(map(as_loss, [*runs(None, 0), *runs("ECA", -0.1), *runs("Nonlocal", -0.2)])), None)
    assert [effect.block.partition(" ")[0] for effect in found.of("better")] == ["Nonlocal", "ECA"]


def test_without_a_comparison_it_says_that_there_is_none(runs):
    assert "there is no comparison" in text_of(story(tables(runs(None, 0)), None))
    assert "there is no comparison" in text_of(story([], None))


def estimate(mean):
    return Estimate(mean, 0.01, 5)


@pytest.fixture
def profile():
    none = {
        "order": Cell(estimate(0.5), None, None, (100, 1000)),
        "product": Cell(estimate(0.5), None, None, (100, 1000)),
    }
    taps = {
        "order": Cell(estimate(1.0), estimate(0.5), 1e-6, (90, 900)),
        "product": Cell(estimate(0.5), estimate(0), 1.0),
    }
    return Profile(("product", "order"), {"none": none, "DCLS": taps, "ECA": dict(taps, order=taps["product"])})


def test_abilities_stand_first_with_what_they_ask(profile, study):
    product, order, table = findings(tables(study), profile)
    assert (product.title, order.title, table.title) == ("product", "order", "Digits")
    assert order.kind.startswith("Which way does a digit move?")
    assert not product.tells
    (effect,) = order.of("better")
    assert (effect.block, effect.cost) == ("DCLS", "-10.0 % MACs, -10 parameters")
    text = text_of(story(tables(study), profile))
    assert "DCLS brings most: 1 of 2 abilities. 1 block brings none." in text


def test_tables_of_the_runs_of_the_profile_are_not_told_twice(profile, study):
    made = tables(study)
    known = replace(profile, experiments=frozenset(row.experiment for row in made[0].rows))
    assert [found.title for found in findings(made, known)] == ["product", "order"]


def test_text_of_records_is_text(runs):
    html = story(tables([*runs(None, 0), *runs("ECA", 0.1, at=[HOSTILE])]), None)
    assert "<script" not in html
    assert HOSTILE in text_of(html)


@pytest.mark.parametrize("gains", [(0.0,), (0.1, 0.2), (-0.3, -0.1), (-1e-9, 1e18)])
def test_a_strip_holds_zero_and_every_difference(gains):
    effects = [Effect("A", Estimate(gain, None, 5), "unclear", 0, 0, None) for gain in gains]
    svg = strip(Finding("a", "b", "c", metric_named("top1"), [], effects))
    places = [int(x) for x in re.findall(r'cx="(\d+)"', svg)]
    zero = float(re.search(r"M([\d.]+) 1V", svg)[1])
    assert len(places) == len({round(gain, 12) for gain in gains})
    assert all(8 <= x <= 232 for x in [*places, zero])
    assert gains == (0.0,) or {min(*places, zero), max(*places, zero)} == {8, 232}
