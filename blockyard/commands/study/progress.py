"""What a study says while it is at work: lines for a pipe, a live table for people."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from blockyard.commands.study.plan import Run, duration
from blockyard.metrics import counted, digits
from blockyard.mistakes import printable
from blockyard.progress import nothing_said


class Progress:
    """Counts runs, prints a line for each that has ended, and estimates the time left.

    Args:
        total: Runs of the study.
        left: Runs that have to be carried out.
        jobs: How many at a time.
        seconds: What a run takes, judged by records; None if unknown.
    """

    def __init__(self, total: int, left: int, jobs: int, seconds: float | None) -> None:
        self.total, self.left, self.jobs = total, left, jobs
        self._expected = seconds
        self._took: list[float] = []
        self._running: dict[str, float] = {}
        self._until_hidden = ExitStack()
        self._live = Live(get_renderable=self._table, console=Console(stderr=True), refresh_per_second=1)

    def __enter__(self) -> Progress:
        """Show the table, on a terminal and where runs say nothing themselves."""
        if self._live.console.is_terminal:
            self._live.start()
            self._until_hidden.enter_context(nothing_said())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Hide the table."""
        self._until_hidden.close()
        self._live.stop()

    def started(self, run: Run) -> None:
        """A run has begun."""
        self._running[run.name] = time.monotonic()

    def put_off(self, run: Run) -> None:
        """A run turned out to be in other hands."""
        self._running.pop(run.name, None)

    def skipped(self, number: int, run: Run) -> None:
        """A run has a record, from before or of another process."""
        self._say(number, f"{run.name}: {_score(run)}, has a record, skipped")

    def done(self, number: int, run: Run) -> None:
        """A run was carried out and has a record."""
        took = time.monotonic() - self._running.pop(run.name)
        self._took.append(took)
        self.left -= 1
        self._say(number, f"{run.name}: {_score(run)}, {duration(took)}{self._left()}")

    def failed(self, number: int, why: str, run: Run | None = None) -> None:
        """A run ended without a record."""
        if run:
            self._running.pop(run.name, None)
            self.left -= 1
        self._say(number, f"failed: {why}" + (f"; log: {run.log}" if run else ""), error=True)

    def waiting(self, runs: list[Run]) -> None:
        """Only runs in other hands are left."""
        print(f"waiting for {counted(len(runs), 'run')} that other processes carry out", flush=True)

    def _left(self) -> str:
        each = sum(self._took) / len(self._took) if self._took else self._expected
        if not self.left or each is None:
            return ""
        return f"; about {duration(self.left * each / min(self.jobs, self.left))} left"

    def _table(self) -> Table:
        table = Table("run", "for", box=None, title_justify="left", caption_justify="left")
        for name, start in self._running.items():
            table.add_row(name, duration(time.monotonic() - start))
        table.caption = f"{self.total - self.left} of {self.total} done{self._left()}"
        return table

    def _say(self, number: int, text: str, error: bool = False) -> None:
        line = printable(f"[{number}/{self.total}] {text}")
        if self._live.is_started:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr if error else sys.stdout, flush=True)


def _score(run: Run) -> str:
    """What a run that has a record scored."""
    record = run.record
    assert record is not None
    unit = record.metric(record.primary).unit
    return f"test/{record.primary} {digits(record.metrics[record.primary])}{f' {unit}' if unit else ''}"
