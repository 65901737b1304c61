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

from blockyard.media.sound_streams import LARGEST_BLOCK, mp3_samples, mp3_states_length, ogg_end
from blockyard.mistakes import DataError

Waveform = NDArray[np.float32]
"""Samples ``(n,)``, full scale ±1."""

RATES = range(1_000, 1_000_000)
"""Rates in Hz that a recording may have; a damaged header may name any, and the filter grows with it."""
HALF_LENGTH = 10
"""Of the resampling filter, in periods of the lower rate."""
UNKNOWN_LENGTH = 0x7F00_0000
"""Bytes that WAV files written to a pipe claim to have, or more: they have as many as there are."""
CLAIMS = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""What libsndfile's log says of a file that is shorter than its header claims: WAV, AIFF, AU, W64, RF64."""
LONGEST_HEADER = 4_096
"""Bytes of a file in which people would not look for sound."""
LARGEST_PEAK = 4.0
"""Of what is read, in units of full scale. Lossy codecs and mixes overshoot, but not by 12 dB: what is louder is
damaged, or was never divided by 32768."""
MP3_DELAY = 8 * 1152
"""Samples that encoders of MP3 add at both ends, at most, and the frame that holds the length."""
MP3, OGG = ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"), ("VORBIS", "OPUS")


class AudioError(DataError):
    """A sound file can't be read; the message names it and is one line."""


class Sound:
    """An open sound file, heard as mono at some rate: channels are averaged, another rate is resampled.

    Only what is asked for is read. Resampling takes in the neighbourhood of a stretch, so that a stretch is the same as
    that stretch of the whole file resampled. A stretch of a compressed file too is that of the whole file decoded, of
    MP3 and Opus to rounding: decoding starts as far before it as the codec's memory reaches.

    Files that can't be opened, hold no sample, are shorter than their header says, or hold samples that are no numbers
    or louder than :data:`LARGEST_PEAK` are refused.

    Args:
        path: A file that libsndfile reads: WAV, FLAC, Ogg, MP3 or AIFF among others.
        rate: Rate to hear it at, in Hz.

    Attributes:
        samples: Its length, at the rate it is heard at.
        peak: The loudest sample of any channel that was read so far; full scale is 1.
        mono_peak: The loudest one of their mean.

    Raises:
        AudioError: If it can't be read.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self.path = path
        self._open()
        try:
            self._frames_in_file = self._checked_length()
        except (AudioError, OSError):
            self._file.close()
            raise
        common = gcd(rate, self.source_rate)
        self._up, self._down = rate // common, self.source_rate // common
        self.samples = -(-self._frames_in_file * self._up // self._down)
        self.peak = self.mono_peak = 0.0

    @property
    def source_rate(self) -> int:
        """Rate of the file in Hz."""
        return int(self._file.samplerate)

    @property
    def channels(self) -> int:
        """Channels of the file."""
        return int(self._file.channels)

    @property
    def has_float_samples(self) -> bool:
        """Whether the file stores floating-point samples, which may be in any unit."""
        return self._file.subtype in ("FLOAT", "DOUBLE")

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
        last = min(self._frames_in_file, -(-(start + count) * self._down // self._up) + reach)
        skip = start - first // self._down * self._up
        return _resample(self._frames(first, last), self._up, self._down)[skip : skip + count]

    def _open(self) -> None:
        import soundfile

        try:
            self._file = soundfile.SoundFile(self.path)
        except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
            raise AudioError(_explain(self.path, str(error).rpartition(": ")[2])) from error
        self._fresh = True

    def _frames(self, first: int, last: int) -> Waveform:
        import soundfile

        if not self._fresh:  # decoders keep a memory of what they have read, which a seek does not always clear
            self._file.close()
            self._open()
        self._fresh = self._file.subtype not in (*MP3, *OGG) and self._file.seekable()
        start = self._landing(first)
        try:
            if self._file.seekable() and self._file.tell() != start:
                self._file.seek(start)
            # In one call: soundfile seeks after every call, after which MP3 would go on with other samples.
            frames: NDArray[Any] = self._file.read(last - start, dtype="float32")[first - start :]
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise AudioError(_explain(self.path, str(error).removeprefix("Error : "))) from error
        if len(frames) < last - first:
            raise AudioError(f"{self.path}: ends after {first + len(frames)} of {self._frames_in_file} samples")
        mono = frames if frames.ndim == 1 else frames.mean(1, dtype=np.float32)
        self._listen(frames, mono)
        return mono

    def _landing(self, first: int) -> int:
        """The frame to seek to, from which on decoding gives frame ``first`` as decoding the whole file does."""
        subtype = self._file.subtype
        if subtype in MP3:
            return max(0, first - self.source_rate)  # its bit reservoir reaches back over frames of any length
        if subtype == "VORBIS" and first:
            # Of the last page, whose end is cut to length, libsndfile takes the start to be earlier by what was cut.
            before = self._frames_in_file - ogg_end(self.path).samples - LARGEST_BLOCK
            return max(0, min(first, before))
        return first if self._file.seekable() else 0

    def _listen(self, frames: NDArray[Any], mono: Waveform) -> None:
        """Note the peaks.

        Raises:
            AudioError: If they are out of bounds.
        """
        peak = float(np.abs(frames).max(initial=0))
        if not np.isfinite(peak):
            raise AudioError(f"{self.path}: samples that are no numbers")
        if peak > LARGEST_PEAK:
            told = "floats in units of integers, to be divided by 32768?" if peak <= 1 << 31 else "damaged?"
            raise AudioError(f"{self.path}: a peak of {peak:g} where full scale is 1; {told}")
        self.peak = max(self.peak, peak)
        self.mono_peak = max(self.mono_peak, float(np.abs(mono).max(initial=0)))

    def _checked_length(self) -> int:
        """Frames of the file, refusing what was cut off."""
        frames, subtype = int(self._file.frames), self._file.subtype
        if self.source_rate not in RATES:
            raise AudioError(f"{self.path}: damaged: a rate of {self.source_rate} Hz")
        if frames > 1 << 60:
            raise AudioError(
                f"{self.path}: its header does not say how long it is (written to a pipe?); encode it anew"
            )
        if not frames:
            raise AudioError(_explain_no_sample(self.path))
        # libsndfile opens the rest of a file that was cut off as if it were whole; its log alone tells.
        for claimed, present in CLAIMS.findall(self._file.extra_info):
            if int(present) < int(claimed) < UNKNOWN_LENGTH:
                raise AudioError(f"{self.path}: cut off after {present} of {claimed} bytes")
        if subtype in OGG and not ogg_end(self.path).marked:
            raise AudioError(f"{self.path}: cut off")
        if self._file.format == "MP3" and not mp3_states_length(self.path):
            return min(frames, self.check_mp3_length() or frames)
        return frames

    def check_mp3_length(self) -> int:
        """Make sure that libsndfile reads all of an MP3 file: where it guesses the length, it may stop before the end.

        Returns:
            Samples of the file before any silence is cut off; 0 if they can't be counted.

        Raises:
            AudioError: If it can't all be read.
        """
        there = mp3_samples(self.path, self.path.stat().st_mtime_ns) if self._file.format == "MP3" else 0
        if there > self._file.frames + MP3_DELAY:
            raise AudioError(
                f"{self.path}: of {there} samples {self._file.frames} can be read: it does not say how long it is, or "
                "not of all of it; write it anew with: ffmpeg -i OLD.mp3 NEW.mp3"
            )
        return there


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


def _explain_no_sample(path: Path) -> str:
    size = path.stat().st_size
    if size < LONGEST_HEADER:
        return f"{path}: no sample in it"
    return f"{path}: no sample in it by its header, yet it has {size:,} bytes: never ended properly? Write it anew"
