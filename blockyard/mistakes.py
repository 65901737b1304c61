"""Telling mistakes, which end in one line, from bugs, which end in a traceback; no torch."""

from __future__ import annotations

import argparse
import difflib
import traceback
from collections.abc import Iterable
from typing import NoReturn

LISTED = 40
"""A message lists so many names at most."""


class ArgumentParser(argparse.ArgumentParser):
    """One that raises a mistake, named after its verb, in place of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            ValueError: Always, one line.
        """
        raise ValueError(f"{self.prog.removeprefix('blockyard ')}: {message}")


def mistake_in(error: BaseException) -> BaseException | None:
    """What this package raised on purpose, under whatever others wrapped around it; None means a bug.

    On purpose is a ``ValueError`` for what people got wrong and a ``FloatingPointError`` for a training that
    diverged, raised by this package's own code.
    """
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, ValueError | FloatingPointError) and _is_ours(cause)):
        cause = cause.__cause__
    return cause


def _is_ours(error: BaseException) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # A data error in a DataLoader's worker is raised again by torch: its class says whose it is.
    places = (type(error).__module__, str(frames[-1].f_globals.get("__name__", "")))
    return any(place.startswith("blockyard") for place in places)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint: the nearest of ``allowed``, or all of them, up to :data:`LISTED`."""
    names = sorted(set(allowed))
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lower, n=2, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(lower[name] for name in close)}?"
    more = f", … ({len(names)} in all)" if len(names) > LISTED else ""
    return f"allowed: {', '.join(names[:LISTED])}{more}"


def printable(text: str) -> str:
    """A text as one line without control characters, which could otherwise steer the terminal that shows it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def printable_lines(text: str) -> str:
    """A text of any number of lines without other control characters."""
    return "\n".join(map(printable, text.splitlines()))
