"""Which columns of a file are the channels of an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blockyard.media.signal_files import Signal, SignalError, read_signal
from blockyard.mistakes import nearest

CHOOSE = "set data.channels to those that all have"


@dataclass(frozen=True)
class Channels:
    """The channels of an input, in their order; files may have them in another.

    Attributes:
        names: Names of columns, or positions from 0 as text, which is how files without names are told.
        by: Who said so: the ``user``; a ``checkpoint``; or the ``first`` training file, and then others may not have
            more.
    """

    names: tuple[str, ...]
    by: Literal["user", "checkpoint", "first"]

    def columns(self, path: Path, signal: Signal) -> list[int]:
        """Positions of the channels in a file, in the order of the input.

        Raises:
            SignalError: If it lacks one, or has more where there may be no more.
        """
        count = signal.values.shape[1]
        if self.by == "first" and count != len(self.names):
            told = f" ({', '.join(signal.names)})" if signal.names else ""
            expected = ", ".join(self.names)
            raise SignalError(f"{path}: {count} channels{told} where {len(self.names)} ({expected}) are: {CHOOSE}")
        return [self._column(path, signal, place) for place in range(len(self.names))]

    def _column(self, path: Path, signal: Signal, place: int) -> int:
        name, count = self.names[place], signal.values.shape[1]
        if name in signal.names:
            return signal.names.index(name)
        if name.isdecimal() and int(name) < count:
            return int(name)
        if self.by != "user" and not signal.names and count == len(self.names):
            return place
        if name.isdecimal():
            raise SignalError(f"{path}: no channel {name}, it has {count}, counted from 0")
        hint = nearest(name, signal.names) if signal.names else "its channels have no names, give their numbers"
        raise SignalError(f"{path}: no channel {name}; {hint}")


def all_of(paths: Sequence[Path]) -> Channels:
    """All channels of the first of some files that can be read.

    Raises:
        SignalError: If none can.
    """
    for path in paths:
        try:
            signal = read_signal(path)
        except SignalError as error:
            last = error
            continue
        return Channels(signal.names or tuple(map(str, range(signal.values.shape[1]))), "first")
    raise SignalError(f"none of {len(paths)} files can be read; the last one: {last}") from last
