"""Splits of sounds: windows of them, augmented, and what to do about files that can't be read."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blockyard.datamodules.audio.augmentation import Augmentation
from blockyard.datamodules.audio.listing import Recordings
from blockyard.datamodules.loading import Column, Split
from blockyard.datamodules.windows import Windows
from blockyard.media.sound_files import AudioError, Sound, Waveform
from blockyard.mistakes import DataError

REPLACEMENTS = 10
"""Files tried in place of a damaged one before training stops."""
BLOCK_SECONDS = 60
OVERSHOOT = 1.01
"""Of full scale, by which the peaks of float files may miss it without being told of: resampling moves them."""
CANCELLED = 0.01
"""Of the loudest channel, below which their mean is silence to people."""


class AudioClips(Split):
    """Windows of the sounds of one split, with labels or without.

    In training item i is a random window of sound i; one that can't be read gives way to another of the split, a
    function of (seed, epoch, index), and the sample is marked ``replaced``. Elsewhere a sound is cut into windows, one
    every ``hop`` samples, the last of which ends where the sound ends: item i is a window of sound ``owner[i]``, from
    and to ``windows[i]`` in seconds of its file. A sound that can't be read stays, as one window of zeros marked not
    ``valid``. A sound shorter than a window is filled up with zeros on the right. ``names`` has one name a *sound*.

    Args:
        recordings: What to read.
        rate: Rate of the waveforms in Hz.
        length: L, samples of a window.
        hop: Samples from one window to the next; not in training.
        training: Whether windows are random.
        augmentation: What happens to windows, or None.
        published_rate: Rate that all files were published with, in Hz; :meth:`problem` tells of another.
    """

    def __init__(
        self,
        recordings: Recordings,
        rate: int,
        length: int,
        hop: int,
        training: bool,
        augmentation: Augmentation | None = None,
        published_rate: int | None = None,
    ) -> None:
        self.recordings = recordings
        self.names = recordings.names
        self.rate = rate
        self.length = length
        self.hop = hop
        self.training = training
        self.augmentation = augmentation
        self.published_rate = published_rate

    def __len__(self) -> int:
        return len(self.names) if self.owner is None else len(self.owner)

    @property
    def owner(self) -> list[int] | None:  # type: ignore[override]
        """Of every window the position of its sound."""
        return None if self.training else self._laid.owner

    @property
    def windows(self) -> list[tuple[float, float]] | None:  # type: ignore[override]
        """Of every window the part of its file, in seconds."""
        return None if self.training else self._laid.seconds

    @property
    def targets(self) -> NDArray[Any] | None:  # type: ignore[override]
        """Labels of the sounds."""
        return self.recordings.targets

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, float32 ``(1, L)``, ``valid``, ``target`` if there are labels, in training ``replaced``.

        Raises:
            DataError: If in training one damaged file after the other turns up.
        """
        if self.training:
            position, waveform = self._random(index)
            sample: dict[str, Any] = {"valid": True, "replaced": position != index}
        else:
            position = self._laid.owner[index]
            try:
                waveform, valid = self._read(position, self._laid.starts[index]), True
            except AudioError:
                waveform, valid = np.zeros(self.length, np.float32), False
            sample = {"valid": valid}
        if self.recordings.targets is not None:
            target = self.recordings.targets[position]
            sample["target"] = torch.from_numpy(target) if target.ndim else int(target)
        return {"input": torch.from_numpy(waveform)[None], **sample}

    def described(self) -> Iterator[Column]:
        """Labels, the part of its file that a sound is, and how loud it is made."""
        recordings = self.recordings
        if recordings.targets is not None:
            yield recordings.targets
        if recordings.spans is not None:
            yield np.array([(start, -1.0 if end is None else end) for start, end in recordings.spans])
        if recordings.volumes is not None:
            yield recordings.volumes

    def over(self, other: Split) -> AudioClips:
        """The sounds of another split, in windows as this one has them."""
        assert isinstance(other, AudioClips)
        plain = copy(self)
        plain.recordings, plain.names = other.recordings, other.names
        plain.__dict__.pop("_laid", None)
        return plain

    def files(self, position: int) -> Sequence[Path]:
        """The file that the sound is in."""
        return [self.recordings.paths[position]]

    def problem(self, position: int) -> str | None:
        """What is wrong with a sound, reading all of it.

        Also told of is what can be read but is hardly meant: channels that cancel out, peaks beyond full scale, a rate
        that is not the published one.
        """
        path = self.recordings.paths[position]
        try:
            with Sound(path, self.rate) as sound:
                sound.check_mp3_length()
                first, last = self._bounds(position, sound)
                for start in range(first, last, BLOCK_SECONDS * self.rate):
                    sound.read(start, min(BLOCK_SECONDS * self.rate, last - start))
                if heard := unheard(sound):
                    return heard
                if self.published_rate not in (None, sound.source_rate):
                    return f"{path}: {sound.source_rate} Hz, not the published {self.published_rate}; it is resampled"
        except AudioError as error:
            return str(error)
        return None

    @cached_property
    def _laid(self) -> Windows:
        """Laid on first use: every header is read, which a list of the names does not need."""
        laid = Windows()
        for position, path in enumerate(self.recordings.paths):
            try:
                with Sound(path, self.rate) as sound:
                    first, last = self._bounds(position, sound)
            except AudioError:
                first, last = 0, self.length
            laid.lay(position, first, last, self.length, self.hop, self.rate)
        return laid

    def _bounds(self, position: int, sound: Sound) -> tuple[int, int]:
        """First sample of a sound in its file, and the one after its last."""
        start, end = (0.0, None) if self.recordings.spans is None else self.recordings.spans[position]
        first = round(start * self.rate)
        last = sound.samples if end is None else min(sound.samples, round(end * self.rate))
        if not 0 <= first < last:
            seconds = sound.samples / self.rate
            raise AudioError(f"{sound.path}: {seconds:.2f} s long, nothing from {start:g} s to {end or seconds:g} s")
        return first, last

    def _random(self, index: int) -> tuple[int, Waveform]:
        """A random window of a sound, or else of another one, augmented; and the position of that sound."""
        rng = np.random.default_rng(random.getrandbits(64))
        position = index
        for _ in range(REPLACEMENTS):
            try:
                waveform = self._read(position, None, rng)
                break
            except AudioError as error:
                last, position = error, int(rng.integers(len(self.names)))
        else:
            raise DataError(f"{REPLACEMENTS} files one after the other can't be read; the last one: {last}") from last
        return position, waveform if self.augmentation is None else self.augmentation(waveform, rng)

    def _read(self, position: int, start: int | None, rng: np.random.Generator | None = None) -> Waveform:
        """A window ``(L,)`` that starts at a sample of the file, or else at a random one of the sound."""
        with Sound(self.recordings.paths[position], self.rate) as sound:
            first, last = self._bounds(position, sound)
            if start is None:
                assert rng is not None
                start = first + int(rng.integers(max(1, last - first - self.length + 1)))
            heard = sound.read(start, min(self.length, last - start))
        waveform = np.zeros(self.length, np.float32)
        waveform[: len(heard)] = heard
        if self.recordings.volumes is not None:
            waveform *= self.recordings.volumes[position]
        return waveform


def unheard(sound: Sound) -> str | None:
    """What a sound that was read is not as people would expect it to be, in one line; None if it is."""
    if sound.has_float_samples and sound.peak > OVERSHOOT:
        return f"{sound.path}: a peak of {sound.peak:g}, beyond full scale, ±1; it is read as it is"
    if sound.mono_peak < CANCELLED * sound.peak:
        return f"{sound.path}: its {sound.channels} channels cancel out, their mean is silence: keep one of them"
    return None
