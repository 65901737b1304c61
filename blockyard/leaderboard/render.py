"""Tables as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from blockyard.leaderboard.columns import RANK, choices, columns, rank, the_backbone, told_apart
from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.tables import Row, Table
from blockyard.leaderboard.validation import cell
from blockyard.metrics import Metric


def markdown(tables: Sequence[Table], names: Sequence[str] = ()) -> str:
    """Tables and their notes as GitHub-flavoured Markdown.

    Args:
        tables: The tables.
        names: Columns, as :func:`~blockyard.leaderboard.columns.columns` takes them.
    """
    sections = []
    for table in tables:
        notes = [f"- {_escaped(note)}" for note in table.notes]
        grid = markdown_grid(cells(table, names), sum(column.label for column in columns(table, names)))
        sections.append("\n".join([f"### {_escaped(title(table))}", "", grid, "", *notes, ""]))
    return "\n".join(sections)


def markdown_grid(rows: list[list[str]], labels: int) -> str:
    """A table of text, its header first, as Markdown."""
    rule = ["---"] * labels + ["--:"] * (len(rows[0]) - labels)
    return "\n".join("| " + " | ".join(map(_escaped, row)) + " |" for row in (rows[0], rule, *rows[1:]))


def comma_separated(tables: Sequence[Table], names: Sequence[str] = ()) -> str:
    """One line a row of any table, in plain units: fractions, counts, samples/s, bytes; empty where unknown.

    Args:
        tables: The tables.
        names: Columns, as :func:`~blockyard.leaderboard.columns.columns` takes them; each stands with its interval.
            What says which row of which table it is stands first in any case.
    """
    every = [column for table in tables for column in choices(table)]
    keys = dict.fromkeys(column.key for name in names for column in every if column.called(name))
    metrics = told_apart((metric for table in tables for row in table.rows for metric in row.others), _plain_name)
    primaries = told_apart((table.primary for table in tables), _plain_name)
    fields = [field for field in _fields(metrics) if (field.key in keys if names else field.key != RANK)]
    fields.sort(key=lambda field: list(keys).index(field.key) if names else 0)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["task", "data", "block", "backbone", "experiment", "baseline", "primary"]
    writer.writerow(map(cell, [*header, *(field.name for field in fields)]))
    for table in tables:
        ranks, primary = rank(table), primaries[table.primary]
        for row in table.rows:
            who = [table.task, table.data, row.block, row.backbone, row.experiment, row.baseline, primary]
            values = [ranks(row) if field.key == RANK else field.value(row) for field in fields]
            writer.writerow(map(cell, [*who, *values]))
    return buffer.getvalue()


def title(table: Table) -> str:
    """Task, data set and backbone, if there is one alone, and what the table is ranked by."""
    backbone = the_backbone(table)
    return f"{table.task} on {table.data}{f', {backbone}' if backbone else ''}: {table.primary}"


def cells(table: Table, names: Sequence[str] = ()) -> list[list[str]]:
    """The table as text, its header first."""
    shown = columns(table, names)
    return [[column.header for column in shown], *([column.text(row) for column in shown] for row in table.rows)]


class _Field(NamedTuple):
    """A column of a CSV file: the key of the column that it is of, its name, and its value in a row."""

    key: str
    name: str
    value: Callable[[Row], object]


def _fields(metrics: Mapping[Metric, str]) -> list[_Field]:
    """All columns of a CSV file but those that say which row it is; None becomes an empty cell."""
    pairs = [_of_estimate(metric.name, name, partial(_other, metric)) for metric, name in metrics.items()]
    return [
        _Field(RANK, RANK, lambda row: None),
        _Field("seeds", "seeds", lambda row: row.score.n),
        *_of_estimate("score", "score", lambda row: row.score),
        *_of_estimate("difference", "difference", lambda row: row.difference),
        _Field("difference", "pairs", lambda row: row.difference.n if row.difference else 0),
        _Field("items", "items_low", lambda row: row.items.low if row.items else None),
        _Field("items", "items_high", lambda row: row.items.high if row.items else None),
        _Field("p", "p_holm", lambda row: row.p),
        *(field for pair in pairs for field in pair),
        _Field("parameters", "parameters", lambda row: row.parameters),
        _Field("macs", "macs", lambda row: row.macs),
        _Field("bytes", "bytes", lambda row: row.bytes),
        _Field("throughput", "throughput", lambda row: row.throughput),
        _Field("memory", "peak_memory", lambda row: row.peak_memory),
    ]


def _other(metric: Metric, row: Row) -> Estimate | None:
    return row.others.get(metric)


def _of_estimate(key: str, name: str, of: Callable[[Row], Estimate | None]) -> list[_Field]:
    """A mean and half its interval."""
    return [
        _Field(key, name, lambda row: found.mean if (found := of(row)) else None),
        _Field(key, f"{name}_ci95", lambda row: found.half_width if (found := of(row)) else None),
    ]


def _plain_name(metric: Metric) -> str:
    return f"{metric.name} {metric.unit}".strip()


def _escaped(text: str) -> str:
    """Text that Markdown takes literally where a label could start a cell, emphasis, code or HTML."""
    for character in "\\|*_`<[":
        text = text.replace(character, f"\\{character}")
    return text
