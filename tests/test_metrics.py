"""A metric says what its numbers are, and what says nothing of itself is known by its name."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from blockyard.metrics import Metric, digits, metric_named, primary_of, stated_by

PSNR, SSIM = Metric("psnr", unit="dB", low=0), Metric("ssim", low=-1, high=1)
ERROR = Metric("rmse", unit="m", low=0, higher_is_better=False)
PERCENT = Metric("accuracy", unit="%", low=0, high=100)


@pytest.mark.parametrize("name", ["top1", "mAP", "mIoU", "ece", "lossless", "missing"])
def test_what_states_nothing_is_a_fraction(name):
    assert metric_named(name) == Metric(name, low=0, high=1)
    assert metric_named(name).is_fraction
    assert not metric_named(name).is_count


@pytest.mark.parametrize("name", ["loss", "triplet_loss", "missing_videos"])
def test_losses_and_counts_are_known_by_their_names(name):
    assert metric_named(name) == Metric(name, higher_is_better=False)
    assert metric_named(name).is_count == name.startswith("missing_")


def test_what_is_stated_goes_before_the_name():
    mine = Metric("loss", unit="nat", low=0, higher_is_better=False)
    assert metric_named("loss", [PSNR, mine]) is mine
    assert metric_named("top1", [PSNR, mine]) == metric_named("top1")


@pytest.mark.parametrize(
    ("metric", "heading", "shown", "title"),
    [
        (metric_named("top1"), "top1 %", "91.20", "top1, higher is better"),
        (metric_named("loss"), "loss", "0.9120", "loss, lower is better"),
        (PSNR, "psnr dB", "0.9120", "psnr in dB, at least 0, higher is better"),
        (SSIM, "ssim", "0.9120", "ssim, from -1 to 1, higher is better"),
        (ERROR, "rmse m", "0.9120", "rmse in m, at least 0, lower is better"),
        (PERCENT, "accuracy %", "0.9120", "accuracy in %, from 0 to 100, higher is better"),
        (Metric("delta", high=0), "delta", "0.9120", "delta, at most 0, higher is better"),
        (Metric("gain"), "gain", "0.9120", "gain, without bounds, higher is better"),
        (Metric("dice_loss", low=0, high=1), "dice_loss %", "91.20", "dice_loss, from 0 to 1, higher is better"),
    ],
)
def test_what_people_read(metric, heading, shown, title):
    assert (metric.heading, metric.text(0.912), str(metric)) == (heading, shown, title)


@pytest.mark.parametrize(
    ("metric", "inside", "outside"),
    [
        (metric_named("top1"), [0, 1, 0.5], [-1e-9, 1.01]),
        (PSNR, [0, 31.5, 1e18], [-0.1, 1e19]),
        (SSIM, [-1, 0, 1], [-1.01, 1.01]),
        (Metric("gain"), [-1e18, 1e18], [2e18]),
    ],
)
def test_values_are_finite_numbers_within_the_bounds(metric, inside, outside):
    assert all(map(metric.allows, inside))
    assert not any(map(metric.allows, [*outside, math.nan, math.inf, -math.inf, True, "1", None, 10**400]))


def test_what_is_allowed_in_words():
    assert [metric.allowed for metric in (metric_named("top1"), metric_named("loss"), PSNR, SSIM, PERCENT)] == [
        "a fraction from 0 to 1",
        "a finite number within ±1e18",
        "a number of at least 0 dB",
        "a number from -1 to 1",
        "a number from 0 to 100 %",
    ]


def test_the_best_is_what_the_direction_says():
    assert [(metric.mode, metric.direction) for metric in (PSNR, ERROR)] == [("max", "higher"), ("min", "lower")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a\x1b[2J"}, "one line of text as a name"),
        ({"name": 3}, "one line of text as a name"),
        ({"unit": "d\u202eB"}, r"metric x: unit .*; allowed is a text of at most 12 letters"),
        ({"unit": "d" * 13}, "at most 12 letters"),
        ({"unit": " dB"}, "at most 12 letters"),
        ({"unit": None}, "at most 12 letters"),
        ({"low": math.nan}, "low nan; allowed is a finite number within ±1e18, or none"),
        ({"high": math.inf}, "high inf; allowed is a finite number"),
        ({"high": "1"}, "high '1'; allowed is a finite number"),
        ({"low": True}, "low True; allowed is a finite number"),
        ({"low": 1, "high": 1}, "low 1, high 1; allowed is a low below the high"),
        ({"higher_is_better": 1}, "higher_is_better 1; allowed is true or false"),
    ],
)
def test_a_metric_that_is_none_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as refusal:
        Metric(**{"name": "x"} | options)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (PSNR, r"Namespace\.metrics: .*allowed is a tuple such as"),  # the comma forgotten
        (("psnr",), r"allowed is a tuple such as \(Metric\('psnr', unit='dB'\),\)"),
        ((PSNR, SSIM, Metric("psnr")), "psnr is stated twice"),
    ],
)
def test_a_task_that_states_something_else_is_told(metrics, message):
    with pytest.raises(ValueError, match=message):
        stated_by(SimpleNamespace(metrics=metrics))


def test_a_module_of_that_name_is_told_apart():
    """``self.metrics = MetricCollection(…)`` is a habit; the tuple of the class would answer in its place, silently."""
    task = SimpleNamespace(metrics=(), _modules={"metrics": nn.Identity()})
    with pytest.raises(ValueError, match=r"Namespace\.metrics: Identity\(\); allowed is a tuple"):
        stated_by(task)


def test_a_task_is_ranked_by_its_primary_metric():
    assert primary_of(SimpleNamespace(primary_metric="ssim", metrics=[PSNR, SSIM])) == SSIM
    assert primary_of(SimpleNamespace(primary_metric="loss")) == metric_named("loss")


def test_a_scale_and_a_name_make_the_metric_again():
    assert [Metric(one.name, **one.scale()) for one in (PSNR, SSIM, ERROR)] == [PSNR, SSIM, ERROR]


@given(st.floats(-1e18, 1e18))
def test_a_number_keeps_the_digits_that_matter(value):
    """0.0000 would say nothing of an error of 3e-5, and no float32 has the decimals of 123456.0000."""
    text, size = digits(value), abs(value)
    assert abs(float(text) - value) <= (max(5.001e-5, 5.001e-7 * size) if 1e-3 <= size < 1e7 else 5.001e-4 * size)
    assert (float(text) == 0) == (value == 0)
    assert len(text) <= 11


def test_ticks_have_the_decimals_of_their_step():
    assert [PSNR.text(tick, 0.5) for tick in (30, 30.5)] == ["30.0", "30.5"]
    assert [metric_named("top1").text(tick, 0.02) for tick in (0.9, 0.92)] == ["90", "92"]
    assert [ERROR.text(k * 2e-6, 2e-6) for k in (0, 15, 16)] == ["0.000000", "0.000030", "0.000032"]


def test_numbers_in_names_sort_as_numbers():
    names = ("rank10", "rank1", "rank20", "rank5", "mAP")
    assert [metric.name for metric in sorted(map(metric_named, names), key=lambda metric: metric.order)] == [
        *("mAP", "rank1", "rank5", "rank10", "rank20"),
    ]
