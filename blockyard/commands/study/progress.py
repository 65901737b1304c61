"""What a study says while it is at work: lines for a pipe, a live table for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from blockyard.commands.study.cost import duration
from blockyard.commands.study.plan import Run
from blockyard.metrics import counted, digits
from blockyard.mistakes import printable
from blockyard.progress import nothing_said


class Progress:
    """Counts runs, prints a line for each that has ended, and estimates the time left.

    Args:
        total: Runs of the study.
        left: Runs that have to be carried out, here or by another process.
        jobs: How many are at work at a time, those of other processes that are known of among them.
        seconds: What a run takes, judged by records; None if unknown.
    """

    def __init__(self, total: int, left: Iterable[Run], jobs: int, seconds: float | None) -> None:
        self.total, self.jobs = total, jobs
        self._to_do = {run.name for run in left}
        self._expected = seconds
        self._took: list[float] = []
        self._running: dict[str, tuple[str, float]] = {}
        self._failed: dict[str, list[tuple[int, str]]] = {}
        self._until_hidden = ExitStack()
        self._live = Live(get_renderable=self._table, console=Console(stderr=True), refresh_per_second=1)

    def __enter__(self) -> Progress:
        """Show the table, on a terminal and where runs say nothing themselves."""
        if self._live.console.is_terminal:
            self._live.start()
            self._until_hidden.enter_context(nothing_said())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Hide the table; say again what more than one run failed by."""
        self._until_hidden.close()
        self._live.stop()
        repeated = [(label, why) for why, runs in self._failed.items() if len(runs) > 1 for _, label in runs]
        for line in once("failed", repeated):
            print(line, file=sys.stderr, flush=True)

    def started(self, run: Run) -> None:
        """A run has begun."""
        self._running[run.name] = run.label, time.monotonic()

    def put_off(self, run: Run) -> None:
        """A run turned out to be in other hands."""
        self._running.pop(run.name, None)

    def skipped(self, number: int, run: Run) -> None:
        """A run has a record, from before or of another process."""
        self._to_do.discard(run.name)
        self._say(number, f"{run.label}: {_score(run)}, has a record, skipped")

    def done(self, number: int, run: Run) -> None:
        """A run was carried out and has a record."""
        took = time.monotonic() - self._running.pop(run.name)[1]
        self._took.append(took)
        self._to_do.discard(run.name)
        self._say(number, f"{run.label}: {_score(run)}, {duration(took)}{self._left()}")

    def failed(self, number: int, why: str, run: Run) -> None:
        """A run ended without a record."""
        self._running.pop(run.name, None)
        self._to_do.discard(run.name)
        before = self._failed.setdefault(why, [])
        said = f"failed as [{before[0][0]}/{self.total}] did" if before else f"failed: {why}"
        before.append((number, run.label))
        self._say(number, f"{run.label}: {said}; log: {run.log}", error=True)

    def waiting(self, runs: list[Run]) -> None:
        """Only runs in other hands are left."""
        print(f"waiting for {counted(len(runs), 'run')} that other processes carry out", flush=True)

    def _left(self) -> str:
        each = sum(self._took) / len(self._took) if self._took else self._expected
        left = len(self._to_do)
        return f"; about {duration(left * each / min(self.jobs, left))} left" if left and each is not None else ""

    def _table(self) -> Table:
        table = Table("run", "for", box=None, title_justify="left", caption_justify="left")
        for label, start in self._running.values():
            table.add_row(label, duration(time.monotonic() - start))
        table.caption = f"{self.total - len(self._to_do)} of {self.total} done{self._left()}"
        return table

    def _say(self, number: int, text: str, error: bool = False) -> None:
        line = printable(f"[{number}/{self.total}] {text}")
        if self._live.is_started:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr if error else sys.stdout, flush=True)


def once(what: str, problems: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each problem: how many runs have it, what it is, and the first of them.

    Args:
        what: What became of the runs.
        problems: Of each run its label and its problem.
    """
    alike: dict[str, list[str]] = {}
    for label, why in problems:
        alike.setdefault(why, []).append(label)
    lines = []
    for why, labels in alike.items():
        more = f", and {len(labels) - 1} more" if len(labels) > 1 else ""
        lines.append(printable(f"{counted(len(labels), 'run')} {what}: {why} ({labels[0]}{more})"))
    return lines


def _score(run: Run) -> str:
    """What a run that has a record scored."""
    record = run.record
    assert record is not None
    unit = record.metric(record.primary).unit
    return f"test/{record.primary} {digits(record.metrics[record.primary])}{f' {unit}' if unit else ''}"
