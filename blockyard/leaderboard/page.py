"""One self-contained HTML page: where blocks help, then for each task and data set its plot and its table.

Records may come from anyone. All text is escaped, and should that fail, the content security policy lets nothing run
or load but the two texts that are named by their digests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

from blockyard.leaderboard.columns import Column, columns, the_backbone
from blockyard.leaderboard.matrix import abilities, breakable, matrix
from blockyard.leaderboard.pareto import front, plot
from blockyard.leaderboard.profile import LEGEND, Profile
from blockyard.leaderboard.render import title
from blockyard.leaderboard.tables import Row, Table
from blockyard.version import __version__

PAGE = 50
"""Rows that a browser shows at a time."""
NOTES = 8
"""Notes that are shown without unfolding."""
STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")


def page(tables: Sequence[Table], found: Profile | None = None) -> str:
    """The page: opens from disk, needs no network, and without JavaScript lacks sorting and filtering alone.

    Args:
        tables: The tables.
        found: The profile of their blocks, if there is one.
    """
    style, script = STYLE.read_text(encoding="utf-8"), SCRIPT.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    experiments, runs = sum(len(table.rows) for table in tables), sum(r.score.n for t in tables for r in t.rows)
    links = "".join(f'<li><a href="#table-{n}">{escape(title(table))}</a></li>' for n, table in enumerate(tables, 1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Leaderboard</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Leaderboard</h1>
<p>Which block helped, and what it cost: {experiments:,} experiments, {runs:,} runs, from their records alone.</p>
<nav aria-label="Tables"><ul>{links}</ul></nav>
</header>
<main>
<section aria-labelledby="matrix">
<h2 id="matrix">Where blocks help</h2>
<p>Difference to the same experiment with no block, paired by seed. <span class="better">▲ better</span> or
<span class="worse">▼ worse</span>: the 95 % interval over at least 3 seeds excludes 0; otherwise ≈ unclear, as
where all seeds differ alike, which leaves no interval. A cell counts all comparisons of a block, at any
place and in any backbone, and is not corrected for their number.</p>
{_scrolling(matrix(tables), "matrix")}
</section>
{_profile(found) if found and found.rows else ""}
{"".join(_section(number, table) for number, table in enumerate(tables, 1))}
</main>
<footer><p>Made by blockyard {escape(__version__)}.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def _profile(found: Profile) -> str:
    return f"""<section aria-labelledby="profile">
<h2 id="profile">What blocks are for</h2>
<p>Small data sets on each of which one ability decides. {escape(LEGEND)}</p>
{_scrolling(abilities(found), "profile")}
</section>"""


def _section(number: int, table: Table) -> str:
    name = f"table-{number}"
    return f"""<section aria-labelledby="{name}" class="board">
<h2 id="{name}">{escape(table.task)} on {escape(table.data)}</h2>
<p>Ranked by {escape(str(table.primary))}.{_backbone(table)}</p>
<figure>
{_scrolling(plot(table, name), name, "picture")}
<figcaption>Score against MACs, with 95 % intervals over seeds. Squares are baselines; hollow points have fewer than 3
seeds. The line joins the front: no other row has a score as good for as few MACs. Numbers are those of the
table.</figcaption>
</figure>
{_controls(name, table)}
{_scrolling(_grid(table, name), name)}
<p class="pager" hidden><button type="button" data-step="-1">Previous</button>
<button type="button" data-step="1">Next</button> <span role="status"></span></p>
{_notes(table.notes)}
</section>
"""


def _backbone(table: Table) -> str:
    backbone = the_backbone(table)
    return f" Backbone: {escape(backbone)}." if backbone else ""


def _controls(name: str, table: Table) -> str:
    """Filters, hidden until the script is there to answer them."""
    return f"""<form class="controls" hidden>
<label>Filter <input type="search" placeholder="words in block or backbone" autocomplete="off"></label>
<label><input type="checkbox" data-only="sure"> 3 seeds or more</label>
<label><input type="checkbox" data-only="front"> on the front</label>
{_choices("Backbones", "backbone", [row.backbone for row in table.rows])}
{_choices("Blocks", "family", [row.family for row in table.rows])}
</form>"""


def _choices(legend: str, key: str, values: Sequence[str]) -> str:
    distinct = sorted(set(values))
    if len(distinct) < 2:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox" checked data-{key}="{index}"> {escape(value or "–")}</label>'
        for index, value in enumerate(distinct)
    )
    return (
        f"<details><summary>{legend} ({len(distinct)})</summary>"
        f'<fieldset><legend class="unseen">{legend} shown</legend>'
        f'<button type="button" data-all="{key}">All or none</button>{boxes}</fieldset></details>'
    )


def _grid(table: Table, name: str) -> str:
    """The table; rows beyond the first page stand in a body of their own, which the style hides from the start."""
    shown = columns(table)
    head = "".join(
        f'<th scope="col"{"" if column.label else " class=number"}{" data-lower-first" if column.lower_first else ""}>'
        f"{escape(column.header)}</th>"
        for column in shown
    )
    ahead = front(table.rows, table.primary.higher_is_better)
    backbones, families = (sorted({getattr(row, key) for row in table.rows}) for key in ("backbone", "family"))
    backbone, family = ({value: index for index, value in enumerate(values)} for values in (backbones, families))
    lines = [
        f'<tr data-backbone="{backbone[row.backbone]}" data-family="{family[row.family]}"'
        f"{' class=baseline' if row.is_baseline else ''}{'' if row.score.few else ' data-sure'}"
        f"{' data-front' if row.experiment in ahead else ''}><td class=number data-value={number}>{number}</td>"
        f"{''.join(_cell(column, row) for column in shown)}</tr>"
        for number, row in enumerate(table.rows, 1)
    ]
    rest = f'<tbody class="rest">{"".join(lines[PAGE:])}</tbody>' if lines[PAGE:] else ""
    return (
        f'<table aria-labelledby="{name}" data-page="{PAGE}">'
        f'<thead><tr><th scope="col" class="number">#</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines[:PAGE])}</tbody>{rest}</table>"
    )


def _cell(column: Column, row: Row) -> str:
    if column.label:
        text = breakable(column.text(row))
        return f'<th scope="row">{text}</th>' if column.header == "Block" else f"<td>{text}</td>"
    value = column.value(row)
    return f'<td class=number data-value="{"" if value is None else value}">{escape(column.text(row))}</td>'


def _notes(notes: Sequence[str]) -> str:
    lines = [f"<li>{escape(note)}</li>" for note in notes]
    more = lines[NOTES:]
    rest = f"<details><summary>{len(more)} more notes</summary><ul>{''.join(more)}</ul></details>" if more else ""
    return f'<div class="notes"><ul>{"".join(lines[:NOTES])}</ul>{rest}</div>'


def _scrolling(content: str, label: str, kind: str = "") -> str:
    """A box that scrolls by itself, by keyboard too, so that the page never has to scroll sideways."""
    return f'<div class="scroll {kind}" role="region" aria-labelledby="{label}" tabindex="0">{content}</div>'


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
