"""What the numbers of a metric mean: their unit, their bounds, and which way is better; no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

LARGEST = 1e18
"""A value's largest size, which keeps sums finite."""
LONGEST_NUMBER = 9
"""Digits of a number in a name that sorts as one."""
UNIT = 12
"""Letters that a unit may have."""


@dataclass(frozen=True)
class Metric:
    """A metric, as a task states it: ``Metric("psnr", unit="dB")``.

    One from 0 to 1 without a unit is a fraction, which people are shown in per cent.

    Attributes:
        name: Its name, as in ``test/<name>``.
        unit: Of its values, such as ``dB``; empty for plain numbers.
        low: Its smallest possible value; None if there is none.
        high: Its largest possible value; None if there is none.
        higher_is_better: Whether more of it is better.

    Raises:
        ValueError: If one of them is none; one line.
    """

    name: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        """See that a table can show it: it may come from anyone's record."""
        if not isinstance(self.name, str) or not self.name.isprintable():
            raise ValueError(f"metric {self.name!r:.80}: allowed is one line of text as a name")
        if mistake := self._mistake():
            raise ValueError("metric {}: {}; allowed is {}".format(self.name, *mistake))

    def _mistake(self) -> tuple[str, str] | None:
        """What is wrong, and what is allowed."""
        if not isinstance(self.unit, str) or not self.unit.isprintable() or self.unit != self.unit.strip()[:UNIT]:
            return f"unit {self.unit!r:.80}", f"a text of at most {UNIT} letters, such as dB"
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is not None and not is_number(bound):
                return f"{name} {bound!r:.80}", "a finite number within ±1e18, or none"
        if self.low is not None and self.high is not None and self.low >= self.high:
            return f"low {self.low!r}, high {self.high!r}", "a low below the high"
        if not isinstance(self.higher_is_better, bool):
            return f"higher_is_better {self.higher_is_better!r:.80}", "true or false"
        return None

    def __str__(self) -> str:
        """What a table's title says of it."""
        unit = f" in {self.unit}" if self.unit else ""
        plain = _known(self.name)
        known = (self.unit, self.low, self.high) == (plain.unit, plain.low, plain.high)
        return f"{self.name}{unit}{'' if known else f', {self._range}'}, {self.direction} is better"

    @property
    def is_fraction(self) -> bool:
        """Whether its values are shares of a whole."""
        return (self.unit, self.low, self.high) == ("", 0, 1)

    @property
    def is_count(self) -> bool:
        """Whether it counts what a result lacks (``missing_videos``)."""
        return self.name.startswith("missing_") and not self.is_fraction

    @property
    def mode(self) -> Literal["min", "max"]:
        """What the best of its values is, as Lightning calls it."""
        return "max" if self.higher_is_better else "min"

    @property
    def direction(self) -> str:
        """What is better."""
        return "higher" if self.higher_is_better else "lower"

    @property
    def order(self) -> tuple[str, bool, str, float, float]:
        """What metrics are sorted by, first of all by their name, in which numbers count: rank5 before rank10."""
        name = re.sub(r"\d+", lambda digits: digits[0].zfill(LONGEST_NUMBER), self.name)
        return name, self.higher_is_better, self.unit, *self.ends

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value that a record may hold."""
        return -LARGEST if self.low is None else self.low, LARGEST if self.high is None else self.high

    @property
    def allowed(self) -> str:
        """What its values may be, in words."""
        if self.is_fraction:
            return "a fraction from 0 to 1"
        if self.low is self.high is None:
            return f"a finite number within ±1e18{self._unit}"
        return f"a number {'of ' if None in (self.low, self.high) else ''}{self._range}{self._unit}"

    @property
    def heading(self) -> str:
        """Its name with the unit that :meth:`text` shows it in."""
        return f"{self.name} {self.shown_unit}".strip()

    @property
    def shown_unit(self) -> str:
        """The unit of :meth:`text`."""
        return "%" if self.is_fraction else self.unit

    def allows(self, value: Any) -> bool:
        """Whether a value is a finite number within the bounds."""
        return is_number(value) and self.ends[0] <= value <= self.ends[1]

    def text(self, value: float, step: float | None = None) -> str:
        """A value as people are shown it; with the decimals that multiples of a step need, if one is given."""
        factor = 100 if self.is_fraction else 1
        if step is not None:
            decimals = max(0, -math.floor(math.log10(factor * step) + 1e-9))
            return digits(factor * value, decimals, 0)
        if self.is_count and value == int(value):
            return f"{value:.0f}"
        return f"{factor * value:.2f}" if self.is_fraction else digits(value)

    def scale(self) -> dict[str, Any]:
        """All but the name, as a record holds it."""
        return {"unit": self.unit, "low": self.low, "high": self.high, "higher_is_better": self.higher_is_better}

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""

    @property
    def _range(self) -> str:
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return "without bounds" if self.high is None else f"at most {self.high:g}"


def metric_named(name: str, stated: Iterable[Metric] = ()) -> Metric:
    """The metric that is stated under a name; else what the name says.

    ``loss`` and what ends in ``_loss`` is a loss, the less the better, and ``missing_…`` counts what a result lacks;
    all else is a fraction, the more the better.
    """
    return next((metric for metric in stated if metric.name == name), None) or _known(name)


@cache
def _known(name: str) -> Metric:
    if name == "loss" or name.endswith("_loss") or name.startswith("missing_"):
        return Metric(name, higher_is_better=False)
    return Metric(name, low=0, high=1)


def stated_by(task: Any) -> tuple[Metric, ...]:
    """The metrics that a task states itself.

    Raises:
        ValueError: If there is something else among them, or two of the same name; one line.
    """
    # torch keeps a module that was set under this name where the class attribute hides it
    stated, kind = getattr(task, "_modules", {}).get("metrics", getattr(task, "metrics", ())), type(task).__name__
    if not isinstance(stated, tuple | list) or not all(isinstance(one, Metric) for one in stated):
        raise ValueError(f"{kind}.metrics: {stated!r:.80}; allowed is a tuple such as (Metric('psnr', unit='dB'),)")
    names = [metric.name for metric in stated]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{kind}.metrics: {twice[0]} is stated twice")
    return tuple(stated)


def primary_of(task: Any) -> Metric:
    """The metric that a task's results are ranked by.

    Raises:
        ValueError: As :func:`stated_by`.
    """
    return metric_named(task.primary_metric, stated_by(task))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of a size that keeps sums finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def digits(value: float, decimals: int = 4, least: float = 1e-3) -> str:
    """A number with so many decimals, fewer where float32 has none; with four digits where those decimals are 0."""
    size = abs(value)
    if size and not least <= size < 1e7:
        return f"{value:.4g}"
    return f"{value:.{min(decimals, 6 - int(math.log10(size))) if size >= 1000 else decimals}f}"


def counted(number: int, noun: str) -> str:
    """A number of things in words: ``1 run``, ``1,160 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
