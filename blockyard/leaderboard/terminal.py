"""Tables for the terminal, no line longer than it is wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockyard.leaderboard.columns import KEPT, Column, columns
from blockyard.leaderboard.console import PIPE
from blockyard.leaderboard.render import title
from blockyard.leaderboard.tables import Table

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 200
"""Rows of a table that a terminal shows; files have them all."""
GAP = 3
"""Characters between two columns."""
NARROWEST = 24
"""A column of words is never folded narrower."""


@dataclass(frozen=True)
class Cells:
    """One column of text.

    Attributes:
        name: What ``--columns`` calls it.
        lines: Its header, then a line for each row.
        words: Whether it is words, which may go on in the next line and stand at the left.
    """

    name: str
    lines: Sequence[str]
    words: bool

    @property
    def width(self) -> int:
        """Characters that it needs in one line."""
        from rich.cells import cell_len

        return max(map(cell_len, self.lines))

    @property
    def least(self) -> int:
        """Characters that it needs at least."""
        return min(self.width, NARROWEST) if self.words else self.width


def print_tables(tables: Sequence[Table], console: Console, names: Sequence[str] = ()) -> None:
    """Print tables and their notes.

    Args:
        tables: The tables.
        console: Where to.
        names: Columns, as :func:`~blockyard.leaderboard.columns.columns` takes them.
    """
    from rich.text import Text  # rich takes longer to import than Markdown and CSV take to write

    for table in tables:
        console.print(Text(title(table), style="bold"))
        shown = columns(table, names)
        lines = [[column.header, *map(column.text, table.rows[:SHOWN])] for column in shown]
        made = [Cells(column.key, line, column.label) for column, line in zip(shown, lines, strict=True)]
        left_out = print_fitting(made, _kept(shown, names), console)
        if len(table.rows) > SHOWN:
            console.print(f"{len(table.rows) - SHOWN:,} more rows: --html, --csv and --markdown write them all")
        for note in [*table.notes, *left_out_line(left_out)]:
            console.print(Text(note, style="dim"))
        console.print()


def print_fitting(made: Sequence[Cells], kept: Sequence[str], console: Console) -> list[str]:
    """Print those columns that fit side by side, in the order given; the first always.

    Args:
        made: The columns.
        kept: Names of columns, those first that stay longest; the others stay longer the further left they are.
        console: Where to.

    Returns:
        The names of the columns that had no room.
    """
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    wanted = sorted(made[1:], key=lambda one: kept.index(one.name) if one.name in kept else len(kept))
    chosen, room = [made[0]], console.width - made[0].least - GAP + 1
    for one in wanted:
        if one.least + GAP <= room:
            chosen.append(one)
            room -= one.least + GAP
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [one for one in made if one in chosen]
    for one in shown:
        grid.add_column(
            Text(one.lines[0]), justify="left" if one.words else "right", no_wrap=not one.words, overflow="fold"
        )
    for line in zip(*(one.lines[1:] for one in shown), strict=True):
        grid.add_row(*map(Text, line))
    console.print(grid)
    return [one.name for one in made if one not in chosen]


def print_in_parts(rows: list[list[str]], labels: int, console: Console) -> None:
    """Print a table of text, its header first, in parts that fit and begin with the columns that name a row."""
    lines = list(zip(*rows, strict=True))
    made = [Cells(str(index), line, index < labels) for index, line in enumerate(lines)]
    fixed, rest = made[:labels], made[labels:]
    while rest:
        left_out = print_fitting([*fixed, *rest], [one.name for one in fixed], console)
        if len(left_out) == len(rest):  # not even one fits: it is cut by the console
            return
        rest = [one for one in rest if one.name in left_out]


def left_out_line(names: Sequence[str]) -> list[str]:
    """What to say of columns that had no room; nothing where all had."""
    if not names:
        return []
    return [f"left out for width: {', '.join(names)}; --columns {','.join(names[:2])} shows those, COLUMNS={PIPE} all"]


def _kept(shown: Sequence[Column], names: Sequence[str]) -> list[str]:
    """Which columns stay longest: as asked, or what tells most."""
    labels = [column.key for column in shown if column.label]
    return [*labels, *(column.key for column in shown)] if names else [*labels, *KEPT]
