"""Background noise made by formula: no package that could be used ships recordings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Random = np.random.Generator
Array = NDArray[np.float64]


def coloured(random: Random, samples: int, slope: float) -> Array:
    """Noise ``(n,)`` of mean power 1 whose power falls as 1 / frequency^slope: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (slope / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def hum(random: Random, samples: int, rate: int) -> Array:
    """Mains hum: 50 Hz and its harmonics, over a little pink noise."""
    times = np.arange(samples) / rate
    levels = random.uniform(0.3, 1, 12) / np.arange(1, 13)
    phases = random.uniform(0, 2 * np.pi, 12)
    tones = sum(
        a * np.sin(2 * np.pi * 50 * k * times + p) for k, a, p in zip(range(1, 13), levels, phases, strict=True)
    )
    return np.asarray(tones + 0.3 * coloured(random, samples, 1))


def gusts(random: Random, samples: int) -> Array:
    """Brown noise that comes and goes, as wind does."""
    swell = coloured(random, samples, 3)
    return coloured(random, samples, 1.5) * np.exp(0.7 * swell)


def crackle(random: Random, samples: int, rate: int) -> Array:
    """Clicks that die away in about 5 ms, twenty a second, over a little white noise."""
    clicks = (random.random(samples) < 20 / rate) * random.normal(size=samples)
    ringing = np.exp(-np.arange(rate // 50) / (0.005 * rate)) * random.standard_normal(rate // 50)
    return np.convolve(clicks, ringing)[:samples] * 3 + 0.1 * random.standard_normal(samples)


def noises(random: Random, samples: int, rate: int) -> dict[str, Array]:
    """Six noises ``(n,)`` by name, each with a peak of 0.5."""
    makers: dict[str, Callable[[], Array]] = {
        "white_noise": lambda: coloured(random, samples, 0),
        "pink_noise": lambda: coloured(random, samples, 1),
        "brown_noise": lambda: coloured(random, samples, 2),
        "mains_hum": lambda: hum(random, samples, rate),
        "gusts": lambda: gusts(random, samples),
        "crackle": lambda: crackle(random, samples, rate),
    }
    made = {name: make() for name, make in makers.items()}
    return {name: 0.5 * noise / np.abs(noise).max() for name, noise in made.items()}
