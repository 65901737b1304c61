"""Tables for the terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.tables import Row, Table
from blockyard.leaderboard.validation import is_count, is_fraction

if TYPE_CHECKING:
    from rich.console import Console

MISSING = "–"


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Print tables and their notes; a table too wide for the console in parts that begin with the same columns."""
    from rich import box  # rich takes longer to import than Markdown and CSV take to write
    from rich.table import Table as RichTable
    from rich.text import Text

    for table in tables:
        rows = cells(table)
        console.print(Text(title(table), style="bold"))
        for columns in _parts(rows, _labels(table), console.width):
            grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
            for index in columns:
                label = index < _labels(table)
                grid.add_column(Text(rows[0][index]), justify="left" if label else "right", no_wrap=not label)
            for row in rows[1:]:
                grid.add_row(*(Text(row[index]) for index in columns))
            console.print(grid)
        for note in table.notes:
            console.print(Text(note, style="dim"))
        console.print()


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
        header, *rows = cells(table)
        labels = _labels(table)
        rule = ["---"] * labels + ["--:"] * (len(header) - labels)
        lines = ["| " + " | ".join(map(_escaped, row)) + " |" for row in (header, rule, *rows)]
        notes = [f"- {_escaped(note)}" for note in table.notes]
        sections.append("\n".join([f"### {_escaped(title(table))}", "", *lines, "", *notes, ""]))
    return "\n".join(sections)


def comma_separated(tables: Sequence[Table]) -> str:
    """One line a row of any table, in plain units: fractions, counts, samples/s, bytes; empty where unknown."""
    metrics = sorted({metric for table in tables for row in table.rows for metric in row.others})
    names = ["task", "data", "block", "backbone", "experiment", "baseline", "primary", "seeds"]
    names += ["score", "score_ci95", "difference", "difference_ci95", "pairs"]
    names += [name for metric in metrics for name in (metric, f"{metric}_ci95")]
    names += ["parameters", "macs", "throughput", "peak_memory"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for table in tables:
        for row in table.rows:
            writer.writerow(_plain(table, row, metrics))
    return buffer.getvalue()


def title(table: Table) -> str:
    """Task, data set and backbone, if there is one alone, and what the table is ranked by."""
    direction = "higher" if table.higher_is_better else "lower"
    backbone = f", {table.rows[0].backbone}" if _labels(table) == 1 and table.rows[0].backbone else ""
    return f"{table.task} on {table.data}{backbone}: {table.primary}, {direction} is better"


def cells(table: Table) -> list[list[str]]:
    """The table as text, its header first; a count of what results lack is shown where they lack something."""
    shown = {name for row in table.rows for name, other in row.others.items() if other.mean or not is_count(name)}
    metrics = sorted(shown)
    labels = _labels(table)
    header = [*["Block", "Backbone"][:labels], "Seeds", _headed(table.primary), "Difference (pairs)"]
    header += [_headed(metric) for metric in metrics]
    header += ["Parameters", "MACs", "Samples/s", "Peak memory"]
    return [
        header,
        *([row.block, row.backbone or MISSING][:labels] + _values(table.primary, row, metrics) for row in table.rows),
    ]


def _labels(table: Table) -> int:
    """Columns that name a row: the backbone goes into the title where all rows have the same."""
    return 1 if len({row.backbone for row in table.rows}) == 1 else 2


def _values(primary: str, row: Row, metrics: Sequence[str]) -> list[str]:
    others = [row.others.get(metric) for metric in metrics]
    return [
        f"{row.score.n}{'*' if row.score.few else ''}",
        _with_interval(row.score, primary),
        MISSING if row.difference is None else _difference(row.difference, primary),
        *(MISSING if other is None else _value(other.mean, name) for other, name in zip(others, metrics, strict=True)),
        f"{row.parameters:,}",
        _scaled(row.macs, 1000, ("", " k", " M", " G", " T")),
        MISSING
        if row.throughput is None
        else f"{row.throughput:,.4g}"
        if row.throughput < 100
        else f"{row.throughput:,.0f}",
        MISSING if row.peak_memory is None else _scaled(row.peak_memory, 1024, (" B", " KiB", " MiB", " GiB")),
    ]


def _plain(table: Table, row: Row, metrics: Sequence[str]) -> list[object]:
    """Values for CSV; None becomes an empty cell."""
    others = [row.others.get(metric) for metric in metrics]
    difference = row.difference
    return [
        *(table.task, table.data, row.block, row.backbone, row.experiment, row.baseline, table.primary, row.score.n),
        *(row.score.mean, row.score.half_width),
        *((difference.mean, difference.half_width, difference.n) if difference else (None, None, 0)),
        *(value for other in others for value in ((other.mean, other.half_width) if other else (None, None))),
        *(row.parameters, row.macs, row.throughput, row.peak_memory),
    ]


def _headed(metric: str) -> str:
    return f"{metric} %" if is_fraction(metric) else metric


def _value(value: float, metric: str) -> str:
    """Scores in per cent, losses as they are."""
    return f"{100 * value:.2f}" if is_fraction(metric) else f"{value:.4f}"


def _with_interval(score: Estimate, metric: str) -> str:
    mean = _value(score.mean, metric)
    return mean if score.half_width is None else f"{mean} ± {_value(score.half_width, metric)}"


def _difference(score: Estimate, metric: str) -> str:
    sign = "+" if score.mean >= 0 else ""
    return f"{sign}{_with_interval(score, metric)} ({score.n}{'*' if score.few else ''})"


def _scaled(value: float, step: int, units: Sequence[str]) -> str:
    index = 0
    while value >= step and index < len(units) - 1:
        value, index = value / step, index + 1
    return f"{value:.4g}{units[index]}" if index else f"{value:.0f}{units[0]}"


def _escaped(text: str) -> str:
    """Text that Markdown takes literally where a label could start a cell, emphasis, code or HTML."""
    for character in "\\|*_`<[":
        text = text.replace(character, f"\\{character}")
    return text
