"""Reading of sound files: any stretch of one, as mono at the rate that is wanted."""

from __future__ import annotations

import re
from functools import lru_cache
from math import gcd
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.base import DataError

Waveform = NDArray[np.float32]
"""Samples ``(n,)``, full scale ±1."""

RATES = range(1_000, 1_000_000)
"""Rates in Hz that a recording may have; a damaged header may name any, and the filter grows with it."""
HALF_LENGTH = 10
"""Of the resampling filter, in periods of the lower rate."""
UNKNOWN_LENGTH = 0x7F00_0000
"""Bytes that WAV files written to a pipe claim to have, or more: they have as many as there are."""


class AudioError(DataError):
    """A sound file can't be read; the message names it and is one line."""


class Sound:
    """An open sound file, heard as mono at some rate: channels are averaged, another rate is resampled.

    Only what is asked for is read. Resampling takes in the neighbourhood of a stretch, so that a stretch is the same as
    that stretch of the whole file resampled. Files that can't be opened, hold no sample, are shorter than their header
    says or hold samples that are no numbers are refused.

    Args:
        path: A file that libsndfile reads: WAV, FLAC or Ogg among others.
        rate: Rate to hear it at, in Hz.

    Raises:
        AudioError: If it can't be read.
    """

    def __init__(self, path: Path, rate: int) -> None:
        import soundfile

        self.path = path
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
            raise AudioError(_explain(path, str(error).rpartition(": ")[2])) from error
        try:
            self._check()
        except AudioError:
            self._file.close()
            raise
        common = gcd(rate, self.source_rate)
        self._up, self._down = rate // common, self.source_rate // common
        self.samples = -(-self._file.frames * self._up // self._down)

    @property
    def source_rate(self) -> int:
        """Rate of the file in Hz."""
        return int(self._file.samplerate)

    def __enter__(self) -> Sound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, start: int, count: int) -> Waveform:
        """A stretch of the sound.

        Args:
            start: First sample, at the rate it is heard at.
            count: Samples; fewer come back where the file ends.

        Returns:
            ``(n,)``, n ≤ ``count``.

        Raises:
            AudioError: If the file is damaged there.
        """
        count = min(count, self.samples - start)
        if self._up == self._down:
            return self._frames(start, start + count)
        reach = HALF_LENGTH * max(self._up, self._down) // self._up + 1  # of the filter to either side, in frames
        # A multiple of `down` frames is a whole number of samples, so that the stretch keeps the file's time grid.
        first = max(0, start * self._down // self._up - reach) // self._down * self._down
        last = min(self._file.frames, -(-(start + count) * self._down // self._up) + reach)
        skip = start - first // self._down * self._up
        return _resample(self._frames(first, last), self._up, self._down)[skip : skip + count]

    def _frames(self, first: int, last: int) -> Waveform:
        import soundfile

        try:
            if first:
                self._file.seek(first)
            frames: NDArray[Any] = self._file.read(last - first, dtype="float32")
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise AudioError(_explain(self.path, str(error).removeprefix("Error : "))) from error
        if len(frames) < last - first:
            raise AudioError(f"{self.path}: ends after {first + len(frames)} of {self._file.frames} samples")
        if not np.isfinite(frames).all():
            raise AudioError(f"{self.path}: samples that are no numbers")
        return frames if frames.ndim == 1 else frames.mean(1, dtype=np.float32)

    def _check(self) -> None:
        if self.source_rate not in RATES:
            raise AudioError(f"{self.path}: damaged: a rate of {self.source_rate} Hz")
        if not self._file.frames:
            raise AudioError(f"{self.path}: no sample in it")
        # libsndfile opens the rest of a file that was cut off as if it were whole; its log alone tells.
        log = self._file.extra_info
        if "lacks an end-of-stream bit" in log:
            raise AudioError(f"{self.path}: cut off")
        for claimed, present in re.findall(r"^data : (\d+) \(should be (\d+)\)", log, re.MULTILINE):
            if int(present) < int(claimed) < UNKNOWN_LENGTH:
                raise AudioError(f"{self.path}: cut off after {present} of {claimed} bytes")


def resample(waveform: Waveform, source_rate: int, rate: int) -> Waveform:
    """Resample ``(n,)`` to ``(ceil(n · rate / source_rate),)`` by scipy's ``resample_poly`` and its default filter."""
    common = gcd(rate, source_rate)
    return _resample(waveform, rate // common, source_rate // common)


def _resample(waveform: Waveform, up: int, down: int) -> Waveform:
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(waveform, up, down, window=_low_pass(max(up, down))), dtype=np.float32)


@lru_cache
def _low_pass(factor: int) -> Waveform:
    """The filter that scipy would design anew each time, which takes as long as the filtering."""
    from scipy.signal import firwin

    return np.asarray(firwin(2 * HALF_LENGTH * factor + 1, 1 / factor, window=("kaiser", 5.0)), dtype=np.float32)


def _explain(path: Path, reason: str) -> str:
    if not path.is_file():
        return f"{path} is missing"
    if not path.stat().st_size:
        return f"{path}: empty file"
    return f"{path}: damaged or no sound file ({' '.join(reason.split()).rstrip('.') or 'it can not be opened'})"
