"""What people are told while something takes long: what it is, how far it is, and by one process alone; no torch."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
DELAY = 3.0
"""Seconds that something may take without a word."""


def is_first_process() -> bool:
    """Whether no launcher says that this process is another than the first."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


@contextmanager
def at_work(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Say what is being done, once it has taken :data:`DELAY` seconds: a bar at the foot of a terminal.

    In a log it is a line, and another one at the end. While something else is being done inside, that is what is said.

    Args:
        what: What it is, such as ``filming walkers``.
        total: Of how many steps; None if that is unknown.

    Yields:
        To be called after each step.
    """
    if _Line.silent or not is_first_process() or multiprocessing.parent_process() is not None:
        yield lambda: None
        return
    line = _Line(what, total)
    outer, _Line.shown = _Line.shown, line
    if outer:
        outer.pause()
    line.wait()
    try:
        yield line.step
        line.end()
    finally:
        line.pause()
        _Line.shown = outer
        if outer:
            outer.wait()


@contextmanager
def nothing_said() -> Iterator[None]:
    """Say nothing of what is done inside: something else on the screen tells people."""
    silent, _Line.silent = _Line.silent, True
    try:
        yield
    finally:
        _Line.silent = silent


class _Line:
    """What is said of one thing that is being done.

    Args:
        what: What it is.
        total: Of how many steps.
    """

    shown: _Line | None = None
    """What is being done now, and is said to be if it takes long."""
    silent = False

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total, self.done = what, total, 0
        self.began, self.told = time.monotonic(), False
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._bar: Progress | None = None

    def wait(self) -> None:
        """Begin to count the seconds without a word."""
        self._timer = threading.Timer(DELAY, self._show)
        self._timer.daemon = True
        self._timer.start()

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if bar := self._bar:
            bar.update(bar.task_ids[0], completed=self.done)

    def pause(self) -> None:
        """Take the bar away."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            self._timer = None
            bar, self._bar = self._bar, None
        if bar:
            bar.stop()

    def end(self) -> None:
        """Say in a log that it is done."""
        if self.told:
            print(f"{self.what}: {time.monotonic() - self.began:.0f} s", file=sys.stderr, flush=True)

    def _show(self) -> None:
        from rich.console import Console  # what takes no time takes none of it

        console = Console(stderr=True)
        with self._lock:
            if self._timer is None:  # it ended in this very moment
                return
            if console.is_terminal:
                self._bar = _bar(console, self)
                self._bar.start()
            elif not self.told:
                self.told = True
                print(f"{self.what} …", file=sys.stderr, flush=True)


def _bar(console: Console, line: _Line) -> Progress:
    """One that leaves nothing behind, and fits 80 columns."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=36, overflow="ellipsis")
    )
    counted = (MofNCompleteColumn(), TimeRemainingColumn(compact=True)) if line.total else (TimeElapsedColumn(),)
    here = sys.stdout.isatty()  # what is printed into a file stays in it, and does not go above the bar
    bar = Progress(name, BarColumn(bar_width=10), *counted, console=console, transient=True, redirect_stdout=here)
    bar.add_task(line.what, total=line.total, completed=line.done)
    return bar
