"""What every data module of sounds shares."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from blockyard.datamodules.audio.augmentation import Augmentation, Noise
from blockyard.datamodules.audio.clips import AudioClips
from blockyard.datamodules.audio.listing import Recordings, find_audio
from blockyard.datamodules.labelled import LabelledDataModule
from blockyard.datamodules.suggesting import Choice, Suggestion, batch_for, spread
from blockyard.media.sound_files import Sound

Range = tuple[float, float]
HIGHEST_RATE = 48_000
"""In Hz; above, there is nothing that people hear."""
LONGEST_WINDOW = 5.0
"""Seconds of a window that is suggested at most."""
WHOLE = 0.75
"""Share of the sounds that a window holds whole: one for the longest is silence for most."""


class AudioDataModule(LabelledDataModule):
    """Waveforms, read when asked for; a subclass lists the files in :meth:`recordings`.

    Sounds are made mono by averaging channels and resampled where their rate is another. Those shorter than
    ``duration`` are filled up with zeros on the right; of longer ones training takes one random window an epoch, and
    evaluation windows every ``hop`` seconds, to be averaged, the last one ending with the sound.

    Full scale is ±1 whatever the files hold. A sound with a sample beyond ±4 counts as one that can't be read: it is
    damaged, or floats in units of integers.

    Training windows are shifted in time, mixed with noise and made louder or softer, as far as these are asked for.

    Batches hold ``input``, float ``(B, 1, L)``, and ``valid``, bool ``(B,)``: False for a sound that can't be read,
    whose input is zero. ``target`` is long ``(B,)``, or, where a sound may have several labels, float ``(B, K)`` of 0
    and 1. In training a file that can't be read is replaced by another one; ``replaced`` counts how often, by name, and
    each is warned of once.

    Args:
        sample_rate: Rate of the waveforms in Hz.
        duration: Length of a waveform in seconds.
        hop: Seconds from one window to the next in evaluation; None means ``duration``.
        shift: Largest shift in time in training, in seconds; None shifts nothing.
        snr: Smallest and largest signal-to-noise ratio in dB at which noise is mixed in, in training; None mixes none.
        noise: A noise recording, or a folder with some at any depth; None takes those of the data set.
        noise_probability: Share of the training windows that noise is mixed into.
        gain: Smallest and largest random gain in training, in dB; None leaves the loudness.
        predict_path: A sound for ``predict``, a folder with sounds at any depth, or several of either.
        options: Those of :class:`~blockyard.datamodules.labelled.LabelledDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    samples_are: ClassVar[str] = "sounds with classes"
    evaluation_options = ("hop",)
    published_rate: ClassVar[int | None] = None
    """Rate that all files were published with, in Hz; checking the data names those with another."""

    def __init__(
        self,
        sample_rate: int = 16_000,
        duration: float = 1.0,
        hop: float | None = None,
        shift: float | None = None,
        snr: Range | None = None,
        noise: str | None = None,
        noise_probability: float = 0.8,
        gain: Range | None = None,
        predict_path: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.sample_rate = sample_rate
        self.length = round(duration * sample_rate)
        self.hop = self.length if hop is None else round(hop * sample_rate)
        if sample_rate < 1 or self.length < 1 or self.hop < 1:
            raise ValueError(f"sample_rate={sample_rate}, duration={duration} and hop={hop} must be positive")
        if not 0 <= (shift or 0.0) < duration or not 0 <= noise_probability <= 1:
            raise ValueError(f"shift={shift} must be in [0, duration), noise_probability={noise_probability} in [0, 1]")
        for name, pair in (("snr", snr), ("gain", gain)):
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{name}={pair} must be the smallest and the largest, in dB")
        if noise is not None and snr is None:
            raise ValueError(f"noise={noise} is not used without snr, the range of signal-to-noise ratios in dB")
        self.shift, self.snr, self.noise, self.noise_probability, self.gain = shift, snr, noise, noise_probability, gain
        self.predict_path = predict_path

    @abstractmethod
    def recordings(self, split: str) -> Recordings:
        """List the sounds of a split; of ``predict`` those for when there is no ``predict_path``.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    @property
    def multi_label(self) -> bool:
        """Whether a sound may have several labels, or none."""
        return False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(1, L)``."""
        return (1, self.length)

    def noise_files(self) -> Sequence[Path]:
        """Noise recordings of the data set itself; a ``noise`` option goes before them."""
        raise ValueError(f"snr={self.snr} mixes noise in, but {type(self).__name__} has none: give noise=<folder>")

    def load(self, split: str) -> AudioClips:
        """List a split; training sounds are opened when asked for, of the others the headers are read."""
        predicted = split == "predict" and self.predict_path is not None
        listing = find_audio(self.predict_path) if predicted and self.predict_path else self.recordings(split)
        if split == "predict":
            listing = Recordings(listing.paths, listing.names, None, listing.spans, listing.volumes)
        training = split == "train"
        augmentation = self._augmentation() if training else None
        rate = None if predicted else self.published_rate
        return AudioClips(listing, self.sample_rate, self.length, self.hop, training, augmentation, rate)

    def suggest(self, weights: bool) -> Suggestion:
        """Rate, length and shifts that the training sounds speak for."""
        recordings = self.recordings("train")
        rates, lengths = [], []
        for row in spread(range(len(recordings.paths))):
            with Sound(recordings.paths[row], self.sample_rate) as sound:
                start, end = (0.0, None) if recordings.spans is None else recordings.spans[row]
                rates.append(sound.source_rate)
                lengths.append((sound.samples / self.sample_rate if end is None else end) - start)
        usual = max(set(rates), key=rates.count)
        median, long = float(np.median(lengths)), float(np.quantile(lengths, WHOLE))
        duration = math.ceil(10 * min(long, LONGEST_WINDOW)) / 10
        heard = "three of four sounds are heard whole" if long <= LONGEST_WINDOW else "long sounds are heard in windows"
        options = {
            "sample_rate": Choice(min(usual, HIGHEST_RATE), f"the files' own, {usual:,} Hz: nothing is thrown away"),
            "duration": Choice(duration, f"{heard}: median {median:.2f} s, longest {max(lengths):.2f} s"),
            "shift": Choice(round(duration / 10, 2), "a sound is the same a tenth of a window earlier or later"),
            "batch_size": batch_for(len(recordings.names), 32),
        }
        said = f"{len(recordings.names):,} sounds to train on, {self.num_classes} classes, {usual:,} Hz, {median:.2f} s"
        return Suggestion(said, options)

    def _augmentation(self) -> Augmentation:
        noise = None
        if self.snr is not None:
            files = self.noise_files() if self.noise is None else find_audio(Path(self.noise)).paths
            noise = Noise(files, self.sample_rate)
        return Augmentation(
            shift=round((self.shift or 0.0) * self.sample_rate),
            noise=noise,
            snr=self.snr or (0.0, 0.0),
            noise_probability=self.noise_probability,
            gain=self.gain or (0.0, 0.0),
        )
