"""The columns of a table: what each is called, shows, and is sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from blockyard.leaderboard.bootstrap import Interval
from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.tables import Row, Table
from blockyard.leaderboard.validation import is_count, is_fraction

MISSING = "–"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        header: Its name.
        text: What it shows of a row; :data:`MISSING` where there is nothing.
        value: What it is sorted by; None where there is nothing.
        label: Whether it names the row.
    """

    header: str
    text: Callable[[Row], str]
    value: Callable[[Row], str | float | None]
    label: bool = False


def columns(table: Table) -> list[Column]:
    """The columns of a table, those that name a row first.

    The backbone has a column where there are several, intervals over test items and significance where a row has
    them, and a count of what results lack where they lack something.
    """
    rows, primary = table.rows, table.primary
    shown = {name for row in rows for name, other in row.others.items() if other.mean or not is_count(name)}
    found = [Column("Block", lambda row: row.block, lambda row: row.block, label=True)]
    if the_backbone(table) is None:
        found.append(Column("Backbone", lambda row: row.backbone or MISSING, lambda row: row.backbone, label=True))
    found += [
        Column("Seeds", lambda row: f"{row.score.n}{'*' if row.score.few else ''}", lambda row: row.score.n),
        Column(headed(primary), lambda row: with_interval(row.score, primary), lambda row: row.score.mean),
        Column(
            "Difference (pairs)",
            lambda row: MISSING if row.difference is None else difference(row.difference, primary),
            lambda row: None if row.difference is None else row.difference.mean,
        ),
    ]
    if any(row.items for row in rows):
        found.append(
            Column("Over test items", lambda row: _interval(row.items, primary), lambda row: _middle(row.items))
        )
    if any(row.p is not None for row in rows):
        found.append(Column("p", lambda row: _probability(row.p), lambda row: row.p))
    found += [_metric(name) for name in sorted(shown)]
    return found + COSTS


def the_backbone(table: Table) -> str | None:
    """The backbone, if all rows have the same."""
    backbones = {row.backbone for row in table.rows}
    return backbones.pop() if len(backbones) == 1 else None


def headed(metric: str) -> str:
    """Name of a metric with its unit."""
    return f"{metric} %" if is_fraction(metric) else metric


def value_text(value: float, metric: str, step: float | None = None) -> str:
    """Scores in per cent, losses as they are; with the decimals that multiples of a step need, if one is given."""
    factor, decimals = (100, 2) if is_fraction(metric) else (1, 4)
    if step is not None:
        decimals = max(0, -math.floor(math.log10(factor * step) + 1e-9))
    return f"{factor * value:.{decimals}f}"


def signed(value: float, metric: str) -> str:
    """A difference with its sign."""
    return ("" if value < 0 else "+") + value_text(value, metric)


def with_interval(score: Estimate, metric: str) -> str:
    """A mean and half its interval, if it has one."""
    mean = value_text(score.mean, metric)
    return mean if score.half_width is None else f"{mean} ± {value_text(score.half_width, metric)}"


def difference(score: Estimate, metric: str) -> str:
    """The same with its sign and the number of pairs."""
    sign = "+" if score.mean >= 0 else ""
    return f"{sign}{with_interval(score, metric)} ({score.n}{'*' if score.few else ''})"


def scaled(value: float, step: int, units: Sequence[str]) -> str:
    """A number in the largest unit that leaves 1 or more of it."""
    index = 0
    while value >= step and index < len(units) - 1:
        value, index = value / step, index + 1
    return f"{value:.4g}{units[index]}" if index else f"{value:.0f}{units[0]}"


def operations(macs: float) -> str:
    """Multiply–accumulates with a unit."""
    return scaled(macs, 1000, ("", " k", " M", " G", " T"))


def _metric(name: str) -> Column:
    return Column(
        headed(name),
        lambda row: value_text(row.others[name].mean, name) if name in row.others else MISSING,
        lambda row: row.others[name].mean if name in row.others else None,
    )


def _interval(items: Interval | None, metric: str) -> str:
    if items is None:
        return MISSING
    return f"{signed(items.low, metric)} … {signed(items.high, metric)}"


def _middle(items: Interval | None) -> float | None:
    return None if items is None else (items.low + items.high) / 2


def _probability(p: float | None) -> str:
    return MISSING if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _rate(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.4g}" if value < 100 else f"{value:,.0f}"


def _bytes(value: float | None) -> str:
    return MISSING if value is None else scaled(value, 1024, (" B", " KiB", " MiB", " GiB"))


COSTS = [
    Column("Parameters", lambda row: f"{row.parameters:,}", lambda row: row.parameters),
    Column("MACs", lambda row: operations(row.macs), lambda row: row.macs),
    Column("Samples/s", lambda row: _rate(row.throughput), lambda row: row.throughput),
    Column("Peak memory", lambda row: _bytes(row.peak_memory), lambda row: row.peak_memory),
]
"""What a row costs."""
