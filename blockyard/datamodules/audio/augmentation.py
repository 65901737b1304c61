"""What happens to waveforms in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blockyard.media.sound_files import Sound, Waveform

Random = np.random.Generator


class Noise:
    """Random stretches of noise recordings, each file as likely as another.

    Args:
        paths: The files; their headers are read at once.
        rate: Rate in Hz.

    Raises:
        AudioError: If one can't be read.
    """

    def __init__(self, paths: Sequence[Path], rate: int) -> None:
        self.paths = paths
        self.rate = rate
        for path in paths:
            Sound(path, rate).__exit__(None, None, None)

    def draw(self, random: Random, length: int) -> Waveform:
        """A stretch ``(length,)``; a recording that is shorter is repeated.

        Raises:
            AudioError: If the file is damaged.
        """
        with Sound(self.paths[int(random.integers(len(self.paths)))], self.rate) as sound:
            start = int(random.integers(max(1, sound.samples - length + 1)))
            return np.resize(sound.read(start, length), length)


@dataclass(frozen=True)
class Augmentation:
    """Shifts a waveform in time, adds noise and changes its loudness, in this order, each by a random amount.

    Attributes:
        shift: Largest shift to either side in samples; zeros come in from the side.
        noise: What to add, or None.
        snr: Smallest and largest signal-to-noise ratio in dB, of mean powers over the whole waveform.
        noise_probability: Share of the waveforms that noise is added to.
        gain: Smallest and largest gain in dB.
    """

    shift: int = 0
    noise: Noise | None = None
    snr: tuple[float, float] = (0.0, 0.0)
    noise_probability: float = 1.0
    gain: tuple[float, float] = (0.0, 0.0)

    def __call__(self, waveform: Waveform, random: Random) -> Waveform:
        """A changed copy of ``(n,)``; values beyond ±1 are left so.

        Raises:
            AudioError: If a noise file is damaged.
        """
        if self.shift:
            waveform = shift(waveform, int(random.integers(-self.shift, self.shift, endpoint=True)))
        if self.noise is not None and random.random() < self.noise_probability:
            noise = self.noise.draw(random, len(waveform))
            waveform = add_noise(waveform, noise, random.uniform(*self.snr))
        if self.gain != (0.0, 0.0):
            waveform = waveform * np.float32(10 ** (random.uniform(*self.gain) / 20))
        return waveform


def shift(waveform: Waveform, samples: int) -> Waveform:
    """Move ``(n,)`` to the right, or to the left if ``samples`` is negative; what is moved in is zero."""
    moved = np.zeros_like(waveform)
    if samples >= 0:
        moved[samples:] = waveform[: len(waveform) - samples]
    else:
        moved[:samples] = waveform[-samples:]
    return moved


def add_noise(waveform: Waveform, noise: Waveform, snr: float) -> Waveform:
    """Add noise ``(n,)`` to ``(n,)`` at a signal-to-noise ratio in dB; nothing where either of them is silent."""
    signal_power, noise_power = float(np.mean(waveform**2)), float(np.mean(noise**2))
    if not signal_power or not noise_power:
        return waveform
    return waveform + noise * np.float32(np.sqrt(signal_power / noise_power) * 10 ** (-snr / 20))
