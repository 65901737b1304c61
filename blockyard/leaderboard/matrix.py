"""Blocks down, tasks and data sets across: where a block helps; or abilities across: what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

from blockyard.leaderboard.columns import difference, signed, told_apart
from blockyard.leaderboard.profile import BETTER, WORSE, Cell, Profile, percent
from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.tables import Table

Verdict = Literal["better", "worse", "unclear"]
KEPT_TOGETHER = "\u00a0±\u00a0"
"""No line ends between a number and its interval."""
SIGNS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "unclear": "≈"}


def verdict(estimate: Estimate, higher_is_better: bool) -> Verdict:
    """Whether a difference's interval over seeds excludes 0; with too few seeds it says nothing."""
    if estimate.few or estimate.half_width is None or abs(estimate.mean) <= estimate.half_width:
        return "unclear"
    return "better" if (estimate.mean > 0) == higher_is_better else "worse"


def comparisons(tables: Sequence[Table]) -> dict[str, list[list[Estimate]]]:
    """Every family of blocks to its differences from a baseline, a list for each table; the most helpful first."""
    families = {row.family for table in tables for row in table.rows if not row.is_baseline}
    found = {
        family: [[row.difference for row in table.rows if row.family == family and row.difference] for table in tables]
        for family in families
    }

    def net(family: str) -> int:
        said = [
            verdict(d, table.primary.higher_is_better)
            for table, cell in zip(tables, found[family], strict=True)
            for d in cell
        ]
        return said.count("better") - said.count("worse")

    return {family: found[family] for family in sorted(families, key=lambda family: (-net(family), family))}


def matrix(tables: Sequence[Table]) -> str:
    """The matrix as an HTML table; tables are linked as ``#table-1`` and so on."""
    names, plain = told_apart(table.primary for table in tables), [table.data.partition(" (")[0] for table in tables]
    found = comparisons(tables)
    keep = _order(found, tables)
    head = "".join(
        f'<th scope="col" data-keep={keep[number - 1]}><a href="#table-{number}">'
        f"{breakable(data if plain.count(data) == 1 else table.data)}</a>"
        f"<small>{breakable(table.task)}, {escape(names[table.primary])}</small></th>"
        for number, (table, data) in enumerate(zip(tables, plain, strict=True), 1)
    )
    lines = [
        f'<tr><th scope="row">{breakable(family)}</th>'
        + "".join(_cell(cell, table) for cell, table in zip(cells, tables, strict=True))
        + "</tr>"
        for family, cells in found.items()
    ]
    head = f'<tr><th scope="col" data-keep=0>Block</th>{head}</tr>'
    return (
        f'<table class="matrix" aria-labelledby="matrix"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'
    )


def _order(found: Mapping[str, Sequence[Sequence[Estimate]]], tables: Sequence[Table]) -> list[int]:
    """For each table when it has to make room, from 1: the last where the most is clear."""
    clear = [
        sum(
            verdict(one, table.primary.higher_is_better) != "unclear"
            for cells in found.values()
            for one in cells[index]
        )
        for index, table in enumerate(tables)
    ]
    last = sorted(range(len(tables)), key=lambda index: -clear[index])
    return [1 + last.index(index) for index in range(len(tables))]


def abilities(found: Profile) -> str:
    """The profile of blocks as an HTML table."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in found.columns)
    lines = [
        f'<tr><th scope="row">{breakable(name)}</th>'
        + "".join(_ability(cells.get(column)) for column in found.columns)
        + "</tr>"
        for name, cells in found.rows.items()
    ]
    head = f'<tr><th scope="col">Block</th>{head}</tr>'
    return (
        f'<table class="matrix" aria-labelledby="profile"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'
    )


def _ability(cell: Cell | None) -> str:
    if cell is None:
        return '<td class="empty">no data</td>'
    said = {BETTER: "better", WORSE: "worse"}.get(cell.sign, "unclear")
    sign = f'<span class="{said}"><span aria-hidden="true">{cell.sign}</span> {said}</span> ' if cell.sign else ""
    tiny = cell.p is not None and cell.p < 0.001
    words = f"{cell.words.rpartition(', ')[0]}, p < 0.001" if tiny else cell.words
    return f'<td class="{said}">{sign}{percent(cell.score)}<small>{escape(words)}</small></td>'


def breakable(name: str) -> str:
    """A name that may go on in the next line where a word begins: ``Spectral|Nonlocal``."""
    return "<wbr>".join(map(escape, re.split("(?<=[a-z])(?=[A-Z])", name)))


def _cell(cell: Sequence[Estimate], table: Table) -> str:
    if not cell:
        return '<td class="empty">no data</td>'
    found = [verdict(estimate, table.primary.higher_is_better) for estimate in cell]
    counts = {said: found.count(said) for said in SIGNS if said in found}
    words = " ".join(
        f'<span class="{said}"><span aria-hidden="true">{SIGNS[said]}</span> {f"{n} " * (len(cell) > 1)}{said}</span>'
        for said, n in counts.items()
    )
    if len(cell) == 1:
        numbers = difference(cell[0], table.primary).replace(" ± ", KEPT_TOGETHER)
    else:
        ends = (min(d.mean for d in cell), max(d.mean for d in cell))
        numbers = " … ".join(signed(end, table.primary) for end in ends)
    return f'<td class="{_kind(counts)}">{words}<small>{numbers}</small></td>'


def _kind(counts: Mapping[Verdict, int]) -> str:
    """How a cell is coloured: in full where at least half of its comparisons say the same, and none the opposite."""
    clear = [said for said in counts if said != "unclear"]
    if len(clear) != 1:
        return "mixed" if clear else "unclear"
    return clear[0] if 2 * counts[clear[0]] >= sum(counts.values()) else f"some-{clear[0]}"
