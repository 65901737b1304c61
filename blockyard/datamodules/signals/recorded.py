"""Recordings of a split, with their channels chosen, at one rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.listing import FileKind
from blockyard.datamodules.loading import Column
from blockyard.datamodules.signals.channels import Channels
from blockyard.media.signal_files import READERS, Signal, SignalError, Values, check_finite, read_signal

SERIES = FileKind("recording", frozenset(READERS), "*.npz (or .npy, .csv, .parquet)")
MEMORY = 1 << 29
"""Bytes of recordings that a split keeps in memory; what is beyond is read again each time."""
SAME_RATE = 1e-3
"""Of a rate, by which another one may differ and counts as the same: times in files are rounded."""
FINEST = 1000
"""Largest numerator and denominator of a ratio of rates."""
BLOCK = 1 << 18
"""Samples that are looked at together."""


@dataclass(frozen=True)
class Recordings:
    """The recordings of a split.

    Attributes:
        paths: Their files.
        names: One each, for people.
        targets: Labels ``(n,)``; None if unknown.
        rates: In Hz, each, where something else than the file tells; None where nothing does.
    """

    paths: Sequence[Path]
    names: Sequence[str]
    targets: NDArray[np.integer[Any]] | None = None
    rates: Sequence[float | None] | None = None


class Recorded:
    """Recordings as ``(T, C)``, read when asked for; the first ones stay in memory, up to :data:`MEMORY` bytes.

    Of npy files at the wanted rate only what is asked for is read, so that they may be of any length.

    Args:
        recordings: Which.
        channels: Their channels.
        rate: In Hz; those of another are resampled, those that don't say theirs are taken to have it.
    """

    def __init__(self, recordings: Recordings, channels: Channels, rate: float) -> None:
        self.recordings = recordings
        self.channels = channels
        self.rate = rate
        self._kept: dict[int, Values] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.recordings.paths)

    def signal(self, position: int) -> Signal:
        """A recording as it is stored.

        Raises:
            SignalError: If it is missing or damaged.
        """
        return read_signal(self.recordings.paths[position])

    def files(self, position: int) -> Sequence[Path]:
        """The files of a recording; none if all recordings are in one file together."""
        return [self.recordings.paths[position]]

    def described(self) -> Iterator[Column]:
        """What tells recordings from others besides names and labels, where they have no files of their own."""
        yield from ()

    def read(self, position: int) -> Values:
        """A recording ``(T, C)`` at the rate.

        Raises:
            SignalError: If it is missing, damaged, incomplete, or lacks a channel. Of an npy file at the rate the
                values are not looked at yet.
        """
        if position in self._kept:
            return self._kept[position]
        path, signal = self.recordings.paths[position], self.signal(position)
        values = _columns(signal.values, self.channels.columns(path, signal))
        ratio = self._ratio(position, signal)
        if isinstance(values, np.memmap) and ratio == 1:
            return values
        check_finite(path, values, self.channels.names)
        values = resample(values, ratio)
        if self._bytes + values.nbytes <= MEMORY:
            self._kept[position] = values
            self._bytes += values.nbytes
        return values

    def stretch(self, position: int, start: int, count: int) -> NDArray[np.float32]:
        """A part of a recording, float32 ``(n, C)``, n ≤ ``count``: fewer where it ends.

        Raises:
            SignalError: As :meth:`read`, or if a value in it is missing or infinite.
        """
        values = self.read(position)[start : start + count].astype(np.float32)
        check_finite(self.recordings.paths[position], values, self.channels.names, start)
        return values

    def blocks(self, position: int) -> Iterator[NDArray[np.float32]]:
        """All of a recording, stretch by stretch.

        Raises:
            SignalError: As :meth:`stretch`.
        """
        for start in range(0, len(self.read(position)), BLOCK):
            yield self.stretch(position, start, BLOCK)

    def resampled_from(self, position: int) -> float | None:
        """Rate of a recording in its file in Hz, if it is resampled.

        Raises:
            SignalError: If the file can't be read.
        """
        signal = self.signal(position)
        return None if self._ratio(position, signal) == 1 else self._told(position, signal)

    def _told(self, position: int, signal: Signal) -> float | None:
        rates = self.recordings.rates
        return signal.rate if rates is None or rates[position] is None else rates[position]

    def _ratio(self, position: int, signal: Signal) -> Fraction:
        told = self._told(position, signal)
        if told is None or math.isclose(told, self.rate, rel_tol=SAME_RATE):
            return Fraction(1)
        ratio = Fraction(self.rate / told).limit_denominator(FINEST)
        if not 0 < ratio <= FINEST:
            raise SignalError(f"{self.recordings.paths[position]}: {told:g} Hz can't be resampled to {self.rate:g} Hz")
        return ratio


def resample(values: Values, ratio: Fraction) -> Values:
    """Resample ``(T, C)`` to ``(ceil(T · ratio), C)``, float32, by a polyphase filter.

    Means are taken off and put back, for the filter passes a constant to a thousandth alone; beyond its ends a
    recording goes on as a line.
    """
    if ratio == 1:
        return values.astype(np.float32, copy=False)
    from scipy.signal import resample_poly

    mean = values.mean(0, dtype=np.float64)
    around = resample_poly(values - mean, ratio.numerator, ratio.denominator, padtype="line")
    return np.asarray(around + mean, np.float32)


def _columns(values: Values, columns: Sequence[int]) -> Values:
    """Some columns; neighbours without a copy, which would read all of a file that lies on disk."""
    first = columns[0]
    if list(columns) == list(range(first, first + len(columns))):
        return values[:, first : first + len(columns)]
    return values[:, list(columns)]
