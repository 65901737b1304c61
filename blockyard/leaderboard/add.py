"""``blockyard leaderboard add``: takes in records that were made elsewhere; nothing in them is trusted."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from blockyard import files
from blockyard.leaderboard import record
from blockyard.leaderboard.record import RECORDS, Record, RecordError
from blockyard.mistakes import printable
from blockyard.unfinished import sweep


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def main(argv: Sequence[str]) -> int:
    """Run the verb: a line for every record, and what became of all in the end.

    Args:
        argv: The command line after ``blockyard leaderboard add``.

    Returns:
        The exit code: 0, or 1 if a record was refused.

    Raises:
        ValueError: If the arguments are wrong.
    """
    parser = _Parser(
        prog="blockyard leaderboard add",
        description="Take in records from other machines, and the .npz files with their scores beside them.",
        epilog="Example: blockyard leaderboard add results/*.json",
        allow_abbrev=False,
    )
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="records; .npz files are passed over")
    parser.add_argument("--to", metavar="DIR", type=Path, default=RECORDS, help=f"folder of records ({RECORDS})")
    options = parser.parse_args(argv)
    counts = add([path for path in options.files if path.suffix != ".npz"], options.to)
    print(
        f"{options.to}: " + (", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "nothing to add")
    )
    return 1 if counts["refused"] else 0


def add(paths: Iterable[Path], directory: Path) -> Counter[str]:
    """Take in records and their scores; those that are refused leave nothing behind.

    Args:
        paths: The records.
        directory: Where they go; made if missing. Any number of processes may add to it at once.

    Returns:
        How many were ``added``, are a ``repeat`` of a run on record, were ``already there``, and were ``refused``.
    """
    sweep(directory)
    outcomes: Counter[str] = Counter()
    found: list[tuple[Path, Record]] = []
    for path in paths:
        try:
            found.append((path, _read(path)))
        except RecordError as error:
            outcomes["refused"] += _refuse(error)
    # the first record of a run counts, so of several the first is added first
    for path, made in sorted(found, key=lambda pair: (pair[1].run, pair[1].repeat, pair[1].finished)):
        try:
            outcomes[_said(take(path, made, directory), made)] += 1
        except RecordError as error:
            outcomes["refused"] += _refuse(error)
    return outcomes


def _refuse(reasons: Exception) -> int:
    for reason in str(reasons).splitlines():
        print(f"refused: {printable(reason)}", file=sys.stderr)
    return 1


def _read(path: Path) -> Record:
    _refuse_link(path)
    return record.read(path)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise RecordError(f"{path}: a symbolic link: name the file itself")


def take(path: Path, made: Record, directory: Path) -> Path | None:
    """Copy a record, its scores first: a record is never without them, nor new scores without a record.

    Args:
        path: The file of the record.
        made: What it holds.
        directory: Where it goes.

    Returns:
        The new file; None if the same record is there already.

    Raises:
        RecordError: If its scores are not there or not valid, or others have their name.
    """
    copied = None
    if made.scores is not None and made.scores_sha256 is not None:
        copied = _copy_scores(path, made, made.scores, made.scores_sha256, directory)
    try:
        return record.keep(made, directory)
    except (OSError, RecordError):
        if copied:
            copied.unlink()
        raise


def _said(kept: Path | None, made: Record) -> str:
    """What became of a record, in a word; in a line where it is new."""
    if kept is None:
        return "already there"
    repeat = record.read(kept).repeat
    print(f"added {kept}" + (f": repeat {repeat} of run {made.run}, compared, not averaged in" if repeat else ""))
    return "repeat" if repeat else "added"


def _copy_scores(path: Path, made: Record, name: str, digest: str, directory: Path) -> Path | None:
    """Where the scores are now; None if they were there already."""
    from blockyard.leaderboard.scores import LARGEST, arrays, impossible, scores_name  # imports NumPy

    source, target = path.parent / name, directory / name
    if name != (right := scores_name(made.run, digest)):
        raise RecordError(f"{path}: scores: {name!r}; run and digest make it {right!r}")
    _refuse_link(source)
    try:
        content = files.read_bounded(source, LARGEST)
        if problem := impossible(arrays(content, digest), made.test_samples, made.metric):
            raise ValueError(problem)
    except (OSError, ValueError) as error:
        raise RecordError(f"{source}: no scores: {error}") from None
    try:
        files.create(target, content)
    except FileExistsError:
        if files.read_bounded(target, LARGEST) != content:
            raise RecordError(f"{source}: {target} has the same name and other scores") from None
        return None
    return target
