"""One self-contained HTML page: where blocks help, then for each task and data set its plot and its table.

Records may come from anyone. All text is escaped, and should that fail, the content security policy lets nothing run
or load but the two texts that are named by their digests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from blockyard.leaderboard.columns import KEPT, MISSING, RANK, Column, choices, columns
from blockyard.leaderboard.matrix import SIGNS, abilities, breakable, matrix
from blockyard.leaderboard.networks import readable
from blockyard.leaderboard.pareto import MANY, NARROW, WIDE, front, plot
from blockyard.leaderboard.profile import LEGEND, LEVEL, Profile
from blockyard.leaderboard.statistics import ALPHA
from blockyard.leaderboard.story import story
from blockyard.leaderboard.tables import Row, Table
from blockyard.metrics import counted
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
<p>Which block helped, where, by how much and at what cost: {counted(experiments, "experiment")},
{counted(runs, "run")}, from their records alone.</p>
</header>
<main>
{_story(tables, found)}
{_profile(found) if found and found.rows else ""}
{_matrix(tables)}
{"".join(_section(number, table) for number, table in enumerate(tables, 1))}
</main>
<footer><p>Made by blockyard {escape(__version__)}.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def _story(tables: Sequence[Table], found: Profile | None) -> str:
    links = "".join(
        f'<li><a href="#table-{n}">{escape(table.data)}</a> <small>{escape(table.task)}, {escape(table.primary.name)}'
        f"</small></li>"
        for n, table in enumerate(tables, 1)
    )
    return f"""<section aria-labelledby="story">
<h2 id="story">What the records say</h2>
{story(tables, found)}
<p class="legend">Differences are to the same network without the block, paired by seed, ± half their 95 % interval;
<span class="better">{SIGNS["better"]} better</span> and <span class="worse">{SIGNS["worse"]} worse</span> are
significant after correction for all comparisons (Holm): p &lt; {LEVEL} over all abilities, p &lt; {ALPHA} in a table.
Each dot is a block.</p>
<details><summary>All {counted(len(tables), "table")}</summary><nav aria-label="Tables"><ul>{links}</ul></nav></details>
</section>"""


def _matrix(tables: Sequence[Table]) -> str:
    return f"""<section aria-labelledby="matrix">
<h2 id="matrix">Where blocks help</h2>
<p>Difference to the same experiment with no block, paired by seed. <span class="better">▲ better</span> or
<span class="worse">▼ worse</span>: the 95 % interval over at least 3 seeds excludes 0; otherwise ≈ unclear, as
where all seeds differ alike, which leaves no interval. A cell counts all comparisons of a block, at any
place and in any backbone, and is not corrected for their number.</p>
{_scrolling(matrix(tables), "matrix")}
</section>"""


def _profile(found: Profile) -> str:
    return f"""<section aria-labelledby="profile">
<h2 id="profile">What blocks are for</h2>
<p>Small data sets on each of which one ability decides. {escape(LEGEND)}</p>
{_scrolling(abilities(found), "profile")}
</section>"""


def _section(number: int, table: Table) -> str:
    name, networks = f"table-{number}", readable(row.backbone for row in table.rows)
    return f"""<section aria-labelledby="{name}" class="board">
<h2 id="{name}">{escape(table.task)} on {escape(table.data)}</h2>
<p>Ranked by {escape(str(table.primary))}.{_network(networks)}</p>
<figure>
{_plots(table, name)}
<figcaption>Score against MACs, with 95 % intervals over seeds. Squares are baselines; hollow points have fewer than 3
seeds. The line joins the front: no other row has a score as good for as few MACs.</figcaption>
</figure>
{_controls(table, networks)}
{_scrolling(_grid(table, name, networks), name)}
<p class="pager" hidden><button type="button" data-step="-1">Previous</button>
<button type="button" data-step="1">Next</button> <span role="status"></span></p>
{_notes(table.notes)}
{_in_full(networks)}
</section>
"""


def _network(networks: Mapping[str, str]) -> str:
    """The network, where all rows have the same."""
    names = [name for label, name in networks.items() if label]
    return f" Network: {escape(names[0])}." if len(networks) == len(names) == 1 else ""


def _in_full(networks: Mapping[str, str]) -> str:
    """Networks with all their options, where their names do not say them."""
    said = [f"<li>{escape(name)}: {escape(label)}</li>" for label, name in networks.items() if label != name]
    return (
        f'<details class="notes"><summary>Networks in full</summary><ul>{"".join(said)}</ul></details>' if said else ""
    )


def _plots(table: Table, name: str) -> str:
    """The picture for wide windows, and one for telephones where it would not be too much."""
    if len(table.rows) > MANY:
        return _scrolling(plot(table, name, WIDE), name, "picture")
    wide, narrow = plot(table, name, WIDE), plot(table, f"{name}-narrow", NARROW)
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def _controls(table: Table, networks: Mapping[str, str]) -> str:
    """Filters, hidden until the script is there to answer them."""
    return f"""<form class="controls" hidden>
<label>Filter <input type="search" placeholder="words in block or network" autocomplete="off"></label>
<label><input type="checkbox" data-only="sure"> 3 seeds or more</label>
<label><input type="checkbox" data-only="front"> on the front</label>
{_choices("Networks", "backbone", [row.backbone for row in table.rows], networks)}
{_choices("Blocks", "family", [row.family for row in table.rows], {})}
</form>"""


def _choices(legend: str, key: str, values: Sequence[str], names: Mapping[str, str]) -> str:
    distinct = sorted(set(values))
    if len(distinct) < 2:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox" checked data-{key}="{index}"> {escape(names.get(value, value) or "–")}</label>'
        for index, value in enumerate(distinct)
    )
    return (
        f"<details><summary>{legend} ({len(distinct)})</summary>"
        f'<fieldset><legend class="unseen">{legend} shown</legend>'
        f'<button type="button" data-all="{key}">All or none</button>{boxes}</fieldset></details>'
    )


def _grid(table: Table, name: str, networks: Mapping[str, str]) -> str:
    """The table; rows beyond the first page stand in a body of their own, which the style hides from the start."""
    (place,) = (column for column in choices(table) if column.key == RANK)
    shown = [place, *columns(table)]
    head = "".join(_head(column) for column in shown)
    ahead = front(table.rows, table.primary.higher_is_better)
    backbones, families = (sorted({getattr(row, key) for row in table.rows}) for key in ("backbone", "family"))
    backbone, family = ({value: index for index, value in enumerate(values)} for values in (backbones, families))
    lines = [
        f'<tr data-backbone="{backbone[row.backbone]}" data-family="{family[row.family]}"'
        f"{' class=baseline' if row.is_baseline else ''}{'' if row.score.few else ' data-sure'}"
        f"{' data-front' if row.experiment in ahead else ''}>"
        f"{''.join(_cell(column, row, networks) for column in shown)}</tr>"
        for row in table.rows
    ]
    rest = f'<tbody class="rest">{"".join(lines[PAGE:])}</tbody>' if lines[PAGE:] else ""
    return (
        f'<table aria-labelledby="{name}" data-page="{PAGE}">'
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines[:PAGE])}</tbody>{rest}</table>"
    )


def _head(column: Column) -> str:
    """The head of a column; ``data-keep`` is 0 where it always stays, and the larger the sooner it has to make room."""
    keep = 0 if column.label else 1 + (KEPT.index(column.key) if column.key in KEPT else len(KEPT))
    first = " data-lower-first" if column.lower_first else ""
    return (
        f'<th scope="col" data-keep={keep}{"" if column.label else " class=number"}{first}>{escape(column.header)}</th>'
    )


def _cell(column: Column, row: Row, networks: Mapping[str, str]) -> str:
    if column.key == "block":
        return f'<th scope="row">{breakable(row.block)}</th>'
    if column.label:
        return f"<td>{breakable(networks[row.backbone] or MISSING)}</td>"
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
