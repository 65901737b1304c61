"""``blockyard leaderboard``: records in, tables out."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from blockyard import files
from blockyard.leaderboard.add import main as add
from blockyard.leaderboard.columns import choices
from blockyard.leaderboard.console import console
from blockyard.leaderboard.latex import latex
from blockyard.leaderboard.page import page
from blockyard.leaderboard.profile import profile
from blockyard.leaderboard.record import RECORDS, Record, read_all
from blockyard.leaderboard.render import comma_separated, markdown
from blockyard.leaderboard.tables import Table, tables
from blockyard.leaderboard.terminal import print_tables
from blockyard.mistakes import mistake_in, printable

PAGE, LATEX = Path("leaderboard.html"), Path("leaderboard.tex")
"""Where the page and the LaTeX tables go by default."""

COLUMNS = (
    "which columns, in which order, of all but the page: rank, seeds, score, difference, items, p, parameters, macs, "
    "throughput, memory, or any metric"
)


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as an exception, for :func:`main` to print in one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def main(argv: Sequence[str]) -> int:
    """Run the verb.

    Args:
        argv: The command line after ``blockyard leaderboard``.

    Returns:
        The exit code: 0, or 2 after a mistake, which is printed in one line.

    Raises:
        OSError: If it is standard output that can't be written.
    """
    try:
        return add(argv[1:]) if argv[:1] == ["add"] else _run(_parse(argv))
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            raise
        print(f"blockyard leaderboard: {mistake_in(error) or error}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # argparse after --help
        return int(stop.code or 0)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="blockyard leaderboard",
        description="Which block helped: one table a task and data set, from the records of runs.",
        epilog="Example: blockyard leaderboard --html. leaderboard add FILE… takes in records from other machines;"
        " leaderboard verify RECORD --ckpt_path X tests a checkpoint again and compares.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--records",
        metavar="DIR",
        type=Path,
        nargs="+",
        action="extend",
        help=f"folders of records (default: {RECORDS})",
    )
    parser.add_argument("--task", help="only this task, such as ImageClassification")
    parser.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=PAGE,
        help=f"also write a page with sortable tables, plots and a matrix of blocks and tasks (default: {PAGE})",
    )
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="also write the tables as Markdown")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="also write the tables as CSV, unrounded")
    parser.add_argument(
        "--latex",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=LATEX,
        help=f"also write the tables as LaTeX with booktabs (default: {LATEX})",
    )
    parser.add_argument("--columns", metavar="NAME,…", type=_listed, default=(), help=COLUMNS)
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        known = (*parser._option_string_actions, "add", "verify")
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        raise ValueError(f"unknown option {unknown[0]}" + (f"; did you mean {near[0]}?" if near else ""))
    return options


def _run(options: argparse.Namespace) -> int:
    folders = options.records or [RECORDS]
    records = _of_task(records_in(folders), options.task)
    made, names = tables(records, folders), options.columns
    _refuse_unknown(names, made)
    terminal = console()
    print_tables(made, terminal, names)
    written: list[tuple[Path | None, Callable[[], str]]] = [
        (options.html, lambda: page(made, profile(records))),
        (options.markdown, lambda: markdown(made, names)),
        (options.csv, lambda: comma_separated(made, names)),
        (options.latex, lambda: latex(made, names)),
    ]
    for path, render in written:
        if path:
            files.write(path, render().encode())
            terminal.print(f"wrote {path}", highlight=False)
    return 0


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _refuse_unknown(names: Sequence[str], made: Sequence[Table]) -> None:
    """See that each name is that of a column of some table."""
    every = list({column.key: column for table in made for column in choices(table)}.values())
    every += [column for table in made for column in choices(table) if column.also]
    for name in names:
        if not any(column.called(name) for column in every):
            keys = list(dict.fromkeys(column.key for column in every))
            near = difflib.get_close_matches(name.casefold(), keys, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"--columns: no column {printable(name)}; {hint}there are {', '.join(keys)}")


def records_in(directories: Sequence[Path], verb: str = "leaderboard") -> list[Record]:
    """The valid records of some folders; of each that is not, a line says why.

    Raises:
        ValueError: If a folder is missing, or there is no valid record.
    """
    for directory in directories:
        if not directory.is_dir():
            raise ValueError(f"no folder {directory}: runs leave their records in {RECORDS}, or give --records DIR")
    records, damaged = read_all(directories)
    for line in damaged:
        print(f"blockyard {verb}: left out: {line}", file=sys.stderr)
    if not records:
        raise ValueError(f"no valid record in {', '.join(map(str, directories))}")
    return records


def _of_task(records: list[Record], task: str | None) -> list[Record]:
    if task is None:
        return records
    tasks = {_plain(record.task): record.task for record in records}
    if _plain(task) not in tasks:
        near = difflib.get_close_matches(_plain(task), tasks, n=1)
        hint = f"did you mean {tasks[near[0]]}?" if near else f"there are {', '.join(sorted(tasks.values()))}"
        raise ValueError(f"no record of task {task}; {hint}")
    return [record for record in records if _plain(record.task) == _plain(task)]


def _plain(name: str) -> str:
    """A task as its class or as its module is written: ``ImageClassification``, ``image_classification``."""
    return name.replace("_", "").lower()
