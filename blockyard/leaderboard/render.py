"""Tables for the terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from blockyard.leaderboard.columns import columns, the_backbone, told_apart
from blockyard.leaderboard.tables import Row, Table
from blockyard.leaderboard.validation import cell
from blockyard.metrics import Metric

if TYPE_CHECKING:
    from rich.console import Console


SHOWN = 200
"""Rows of a table that a terminal shows; files have them all."""


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Print tables and their notes; a table too wide for the console in parts that begin with the same columns."""
    from rich.text import Text  # rich takes longer to import than Markdown and CSV take to write

    for table in tables:
        console.print(Text(title(table), style="bold"))
        print_grid(cells(replace(table, rows=table.rows[:SHOWN])), _labels(table), console)
        if len(table.rows) > SHOWN:
            console.print(f"{len(table.rows) - SHOWN:,} more rows: --html, --csv and --markdown write them all")
        for note in table.notes:
            console.print(Text(note, style="dim"))
        console.print()


def print_grid(rows: list[list[str]], labels: int, console: Console) -> None:
    """Print a table of text, its header first, in parts that fit and begin with the columns that name a row."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    for part in _parts(rows, labels, console.width):
        grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for index in part:
            label = index < labels
            grid.add_column(Text(rows[0][index]), justify="left" if label else "right", no_wrap=not label)
        for row in rows[1:]:
            grid.add_row(*(Text(row[index]) for index in part))
        console.print(grid)


def _parts(rows: list[list[str]], labels: int, width: int) -> list[list[int]]:
    """Columns to print side by side, the labels first each time."""
    widths = [max(len(row[index]) for row in rows) + 3 for index in range(len(rows[0]))]
    fixed = list(range(labels))
    parts = [fixed.copy()]
    for index in range(labels, len(widths)):
        if len(parts[-1]) > labels and sum(widths[column] for column in [*parts[-1], index]) > width:
            parts.append(fixed.copy())
        parts[-1].append(index)
    return parts


def markdown(tables: Sequence[Table]) -> str:
    """Tables and their notes as GitHub-flavoured Markdown."""
    sections = []
    for table in tables:
        notes = [f"- {_escaped(note)}" for note in table.notes]
        grid = markdown_grid(cells(table), _labels(table))
        sections.append("\n".join([f"### {_escaped(title(table))}", "", grid, "", *notes, ""]))
    return "\n".join(sections)


def markdown_grid(rows: list[list[str]], labels: int) -> str:
    """A table of text, its header first, as Markdown."""
    rule = ["---"] * labels + ["--:"] * (len(rows[0]) - labels)
    return "\n".join("| " + " | ".join(map(_escaped, row)) + " |" for row in (rows[0], rule, *rows[1:]))


def comma_separated(tables: Sequence[Table]) -> str:
    """One line a row of any table, in plain units: fractions, counts, samples/s, bytes; empty where unknown."""
    metrics = told_apart((metric for table in tables for row in table.rows for metric in row.others), _plain_name)
    primaries = told_apart((table.primary for table in tables), _plain_name)
    names = ["task", "data", "block", "backbone", "experiment", "baseline", "primary", "seeds"]
    names += ["score", "score_ci95", "difference", "difference_ci95", "pairs", "items_low", "items_high", "p_holm"]
    names += [name for metric in metrics.values() for name in (metric, f"{metric}_ci95")]
    names += ["parameters", "macs", "throughput", "peak_memory"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(cell, names))
    for table in tables:
        for row in table.rows:
            writer.writerow(map(cell, _plain(table, row, primaries[table.primary], metrics)))
    return buffer.getvalue()


def title(table: Table) -> str:
    """Task, data set and backbone, if there is one alone, and what the table is ranked by."""
    backbone = the_backbone(table)
    return f"{table.task} on {table.data}{f', {backbone}' if backbone else ''}: {table.primary}"


def cells(table: Table) -> list[list[str]]:
    """The table as text, its header first."""
    shown = columns(table)
    return [[column.header for column in shown], *([column.text(row) for column in shown] for row in table.rows)]


def _labels(table: Table) -> int:
    """Columns that name a row."""
    return sum(column.label for column in columns(table))


def _plain(table: Table, row: Row, primary: str, metrics: Iterable[Metric]) -> list[object]:
    """Values for CSV; None becomes an empty cell."""
    others = [row.others.get(metric) for metric in metrics]
    difference, items = row.difference, row.items
    return [
        *(table.task, table.data, row.block, row.backbone, row.experiment, row.baseline, primary, row.score.n),
        *(row.score.mean, row.score.half_width),
        *((difference.mean, difference.half_width, difference.n) if difference else (None, None, 0)),
        *((items.low, items.high) if items else (None, None)),
        row.p,
        *(value for other in others for value in ((other.mean, other.half_width) if other else (None, None))),
        *(row.parameters, row.macs, row.throughput, row.peak_memory),
    ]


def _plain_name(metric: Metric) -> str:
    return f"{metric.name} {metric.unit}".strip()


def _escaped(text: str) -> str:
    """Text that Markdown takes literally where a label could start a cell, emphasis, code or HTML."""
    for character in "\\|*_`<[":
        text = text.replace(character, f"\\{character}")
    return text
