"""The columns of a table: what each is called, shows, and is sorted by."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from blockyard.leaderboard.bootstrap import Interval
from blockyard.leaderboard.statistics import ROUNDING, Estimate
from blockyard.leaderboard.tables import Row, Table
from blockyard.metrics import Metric

MISSING = "–"
KEPT = ("score", "difference", "rank", "p", "macs", "parameters", "seeds")
"""Columns that stay longest where there is no room for all."""
RANK = "rank"
"""The column that stands in a table only where it is asked for, and always on the page."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: What ``--columns`` calls it.
        header: Its name.
        text: What it shows of a row; :data:`MISSING` where there is nothing.
        value: What it is sorted by; None where there is nothing.
        label: Whether it names the row.
        lower_first: Whether less is better, so that who sorts by it wants the least first.
        also: Another name for ``--columns``.
    """

    key: str
    header: str
    text: Callable[[Row], str]
    value: Callable[[Row], str | float | None]
    label: bool = False
    lower_first: bool = False
    also: str = ""

    def called(self, name: str) -> bool:
        """Whether a name, in whatever case, is one of its own."""
        return name.casefold() in (self.key.casefold(), self.also.casefold())


def columns(table: Table, names: Sequence[str] = ()) -> list[Column]:
    """The columns of a table, those that name a row first.

    Without names: the backbone where there are several, intervals over test items and significance where a row has
    them, a count of what results lack where they lack something, bytes where a network is quantised, all else always
    but the rank.

    Args:
        table: The table.
        names: Those to show, in this order; the block is always among them, and so is the backbone where there are
            several. A name that the table has no column for is passed over.
    """
    every = choices(table)
    if names:
        chosen = [column for name in names for column in every if column.called(name)]
        labels = [column for column in every if column.label and (column in chosen or _told(column, table))]
        return [*labels, *dict.fromkeys(column for column in chosen if not column.label)]
    return [column for column in every if column.key != RANK and _told(column, table)]


def _told(column: Column, table: Table) -> bool:
    """Whether a column tells anything."""
    silent = {
        "backbone": the_backbone(table) is not None,
        "items": not any(row.items for row in table.rows),
        "bytes": all(row.bytes is None for row in table.rows),
        "p": all(row.p is None for row in table.rows),
    }
    counts = {metric.name for row in table.rows for metric in row.others if metric.is_count}
    missing = {metric.name for row in table.rows for metric, other in row.others.items() if other.mean}
    return not silent.get(column.key) and column.key not in counts - missing


def choices(table: Table) -> list[Column]:
    """Every column that a table can have, in the order of the whole table."""
    primary, shown = table.primary, told_apart(metric for row in table.rows for metric in row.others)
    lower = not primary.higher_is_better
    ranks = rank(table)
    return [
        Column("block", "Block", lambda row: row.block, lambda row: row.block, label=True),
        Column("backbone", "Backbone", lambda row: row.backbone or MISSING, lambda row: row.backbone, label=True),
        Column(RANK, "Rank", lambda row: f"{ranks(row)}", lambda row: ranks(row), lower_first=True),
        Column("seeds", "Seeds", lambda row: f"{row.score.n}{'*' if row.score.few else ''}", lambda row: row.score.n),
        Column(
            "score",
            primary.heading,
            lambda row: with_interval(row.score, primary),
            lambda row: row.score.mean,
            lower_first=lower,
            also=primary.name,
        ),
        Column(
            "difference",
            "Difference (pairs)",
            lambda row: MISSING if row.difference is None else difference(row.difference, primary),
            lambda row: None if row.difference is None else row.difference.mean,
            lower_first=lower,
        ),
        Column(
            "items",
            "Over test items",
            lambda row: _interval(row.items, primary),
            lambda row: _middle(row.items),
            lower_first=lower,
        ),
        Column("p", "p", lambda row: _probability(row.p), lambda row: row.p, lower_first=True),
        *(_metric(metric, header) for metric, header in shown.items()),
        *COSTS,
    ]


def rank(table: Table) -> Callable[[Row], int]:
    """The place of a row among all of its table by score: 1 and those better; who scores the same shares it."""
    sign = -1 if table.primary.higher_is_better else 1
    means = sorted(sign * row.score.mean for row in table.rows)

    def place(row: Row) -> int:
        mean = sign * row.score.mean
        return 1 + bisect_left(means, mean - ROUNDING * abs(mean))

    return place


def the_backbone(table: Table) -> str | None:
    """The backbone, if all rows have the same."""
    backbones = {row.backbone for row in table.rows}
    return backbones.pop() if len(backbones) == 1 else None


def told_apart(
    metrics: Iterable[Metric], called: Callable[[Metric], str] = lambda metric: metric.heading
) -> dict[Metric, str]:
    """What to call metrics, in alphabetical order: in full where several would be called the same."""
    found = sorted(set(metrics), key=lambda metric: metric.order)
    alike = Counter(map(called, found))
    return {metric: called(metric) if alike[called(metric)] == 1 else str(metric) for metric in found}


def signed(value: float, metric: Metric) -> str:
    """A difference with its sign."""
    return ("" if value < 0 else "+") + metric.text(value)


def with_interval(score: Estimate, metric: Metric) -> str:
    """A mean and half its interval, if it has one."""
    mean = metric.text(score.mean)
    return mean if score.half_width is None else f"{mean} ± {metric.text(score.half_width)}"


def difference(score: Estimate, metric: Metric) -> str:
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


def _metric(metric: Metric, header: str) -> Column:
    return Column(
        metric.name,
        header,
        lambda row: metric.text(row.others[metric].mean) if metric in row.others else MISSING,
        lambda row: row.others[metric].mean if metric in row.others else None,
        lower_first=not metric.higher_is_better,
    )


def _interval(items: Interval | None, metric: Metric) -> str:
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
    Column("parameters", "Parameters", lambda row: f"{row.parameters:,}", lambda row: row.parameters),
    Column("macs", "MACs", lambda row: operations(row.macs), lambda row: row.macs),
    Column("bytes", "Bytes", lambda row: _bytes(row.bytes), lambda row: row.bytes, lower_first=True),
    Column("throughput", "Samples/s", lambda row: _rate(row.throughput), lambda row: row.throughput),
    Column("memory", "Peak memory", lambda row: _bytes(row.peak_memory), lambda row: row.peak_memory),
]
"""What a row costs."""
