"""Tables as LaTeX, to paste into a paper that uses booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from blockyard.leaderboard.columns import Column, columns
from blockyard.leaderboard.render import title
from blockyard.leaderboard.statistics import ALPHA, ROUNDING
from blockyard.leaderboard.tables import Row, Table
from blockyard.version import __version__

COLUMNS = ("seeds", "score", "difference", "parameters", "macs")
"""What a paper has room for, besides block and backbone."""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "…": r"\ldots{}",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    # behind the end of a row these two would be taken for its options
    "[": "{[}",
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex(tables: Sequence[Table], names: Sequence[str] = ()) -> str:
    """A ``table`` a task and data set.

    The best row of a backbone is bold where its difference to the row without a block is significant.

    Args:
        tables: The tables.
        names: Columns, as :func:`~blockyard.leaderboard.columns.columns` takes them; by default :data:`COLUMNS`.
    """
    made = [_table(number, table, names or COLUMNS) for number, table in enumerate(tables, 1)]
    return "\n".join([f"% blockyard {__version__}; needs \\usepackage{{booktabs}}", *made])


def escaped(text: str) -> str:
    """A text that LaTeX sets as it is."""
    return "".join(SPECIAL.get(character, character) for character in text)


def _table(number: int, table: Table, names: Sequence[str]) -> str:
    shown = columns(table, names)
    bold = best(table.rows, table.primary.higher_is_better)
    groups = [list(rows) for _, rows in groupby(table.rows, lambda row: (row.backbone, row.baseline))]
    blocks = ["\n".join(_line(row, shown, id(row) in bold) for row in rows) for rows in groups]
    places = "l" * sum(column.label for column in shown) + "r" * sum(not column.label for column in shown)
    head = " & ".join(escaped(column.header) for column in shown)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(title(table))}. {_legend(table)}}}",
            rf"\label{{tab:blockyard-{number}}}",
            rf"\begin{{tabular}}{{{places}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            "\n\\midrule\n".join(blocks),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def best(rows: Sequence[Row], higher_is_better: bool) -> set[int]:
    """Ids of the rows that nothing beats beside the same baseline, and that differ from it significantly."""
    sign, found = 1 if higher_is_better else -1, set()
    for _, group in groupby(rows, lambda row: (row.backbone, row.baseline)):
        beside = list(group)
        top = max(sign * row.score.mean for row in beside)
        for row in beside:
            as_good = sign * row.score.mean >= top - ROUNDING * abs(top)
            gains = row.difference is not None and sign * row.difference.mean > 0
            if as_good and gains and row.p is not None and row.p < ALPHA:
                found.add(id(row))
    return found


def _line(row: Row, shown: Sequence[Column], bold: bool) -> str:
    texts = [_cell(column, row) for column in shown]
    marked = [
        rf"\textbf{{{text}}}" if bold and column.key in ("block", "score") else text
        for column, text in zip(shown, texts, strict=True)
    ]
    return " & ".join(marked) + r" \\"


def _cell(column: Column, row: Row) -> str:
    text = escaped(column.text(row))
    return text if column.label else re.sub(r"(?<!\S)-(?=\d)", "$-$", text)


def _legend(table: Table) -> str:
    """What a reader of the table has to know, in a sentence or two."""
    said = [r"Mean over seeds $\pm$ half its 95\,\% interval; difference to no block paired by seed."]
    if any(row.p is not None for row in table.rows):
        said.append(rf"Bold: the best, if it differs from no block ($p < {ALPHA}$, paired $t$ test, Holm).")
    if any(row.score.few for row in table.rows):
        said.append("{*}: fewer than 3 seeds.")
    return " ".join(said)
