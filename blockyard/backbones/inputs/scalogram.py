"""Scalograms, the sizes of a continuous wavelet transform, inside the network."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from blockyard.backbones.inputs.front_end import FrontEnd, standardised

WIDTHS = 5
"""Widths of the longest wavelet that its taps reach to each side: its envelope is 4 · 10⁻⁶ there."""


class Scalogram(FrontEnd):
    """Waveforms ``(B, 1, L)`` to scalograms ``(B, 1, n_scales, T)``, T = 1 + L // hop_length.

    A value is the size of Σ_n x[n] ψ*((n − t) / s), ψ(u) = c e^{iωu − u²/2} a Morlet wavelet of width s samples around
    every ``hop_length``-th sample t. Scales are told by frequencies, low to high in equal ratios: s = ω · sample_rate /
    (2π f). It is the sum itself, by one convolution, with silence before and behind; it has no parameters and nothing
    to save, and computes in float32 whatever autocast says.

    Args:
        sample_rate: Samples a second.
        n_scales: Scales.
        f_min: Lowest frequency, in Hz.
        f_max: Highest frequency, in Hz; None takes half the sample rate.
        hop_length: Samples from time to time; None takes 10 ms.
        omega: ω, radians of the wave in a width of its envelope: more tells frequencies apart, less times.
        norm: ``amplitude`` gives a wave of amplitude 1 at the frequency of a scale the value 1 there, and less at every
            other scale; ``energy`` gives all wavelets unit energy, c = π^{-1/4} / √s.
        scale: ``magnitude`` is the size, ``log`` is ln(size² + 10⁻⁶).
        normalise: ``sample`` subtracts a clip's mean and divides by its standard deviation; None leaves the values.
        as_channels: Whether scales are the channels of a sequence, ``(B, n_scales, T)``, for networks in one dimension.

    Raises:
        ValueError: If a number is out of range.
    """

    taps: Tensor

    def __init__(
        self,
        sample_rate: int = 16_000,
        n_scales: int = 64,
        f_min: float = 50.0,
        f_max: float | None = None,
        hop_length: int | None = None,
        omega: float = 5.0,
        norm: Literal["amplitude", "energy"] = "amplitude",
        scale: Literal["magnitude", "log"] = "magnitude",
        normalise: Literal["sample"] | None = "sample",
        as_channels: bool | None = None,
    ) -> None:
        super().__init__()
        f_max, hop_length = f_max or sample_rate / 2, hop_length or round(0.01 * sample_rate)
        if min(sample_rate, n_scales, hop_length) < 1 or omega <= 0:
            raise ValueError("Scalogram: sample_rate, n_scales, hop_length and omega must be positive")
        if not 0 < f_min < f_max <= sample_rate / 2:
            raise ValueError(
                f"Scalogram: f_min={f_min} and f_max={f_max} must rise and lie between 0 and half of "
                f"sample_rate={sample_rate}"
            )
        for name, value, allowed in (("norm", norm, ("amplitude", "energy")), ("scale", scale, ("magnitude", "log"))):
            if value not in allowed:
                raise ValueError(f"Scalogram: {name} must be {' or '.join(allowed)}, got {value!r}")
        self.shape = (n_scales,) if as_channels else (1, n_scales)
        self.sample_rate, self.n_scales, self.hop_length = sample_rate, n_scales, hop_length
        self.scale, self.normalise = scale, normalise
        frequencies = torch.logspace(math.log2(f_min), math.log2(f_max), n_scales, 2.0, dtype=torch.float64)
        self.frequencies: list[float] = frequencies.tolist()
        taps = wavelets(omega * sample_rate / (2 * math.pi * frequencies), omega, norm)
        self.register_buffer("taps", torch.cat([taps.real, taps.imag])[:, None].float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scalograms of ``(B, 1, L)``, in the precision of the network.

        Raises:
            ValueError: If the clips are not of one channel.
        """
        if x.dim() != 3 or x.shape[1] != 1:
            raise ValueError(f"Scalogram takes waveforms (B, 1, L), got {(*x.shape,)}")
        if x.shape[0] == 0:  # of a process that has no clip left; of nothing there is no mean
            return self.taps.new_zeros(0, *self.shape, 1 + x.shape[2] // self.hop_length)
        with torch.autocast(x.device.type, enabled=False):
            taps = self.taps.float()
            reach = taps.shape[2] // 2
            parts = F.conv1d(F.pad(x.float(), (reach, reach + 1)), taps, stride=self.hop_length)
            # A norm's gradient at zero, in digital silence, is zero; that of a root is not a number.
            y = torch.linalg.vector_norm(parts.unflatten(1, (2, self.n_scales)), dim=1)
            y = (y.square() + 1e-6).log() if self.scale == "log" else y
            y = standardised(y) if self.normalise else y
        return y.unflatten(1, self.shape).to(self.taps.dtype)

    def extra_repr(self) -> str:
        """The settings that matter most."""
        low, high = self.frequencies[0], self.frequencies[-1]
        return f"sample_rate={self.sample_rate}, n_scales={self.n_scales}, {low:g} to {high:g} Hz"


def wavelets(widths: Tensor, omega: float, norm: Literal["amplitude", "energy"]) -> Tensor:
    """Conjugate Morlet wavelets ``(n, 2 r + 1)``, r whole samples to each side.

    Args:
        widths: In samples ``(n,)``.
        omega: Radians of the wave in a width.
        norm: What is made 1, as :class:`Scalogram` says.
    """
    reach = math.ceil(WIDTHS * float(widths.max()))
    u = torch.arange(-reach, reach + 1, dtype=widths.dtype) / widths[:, None]
    envelope = (-u.square() / 2).exp()
    # A real wave is half one that turns forwards, of which the wavelets see nothing else.
    factor = 2 / envelope.sum(1) if norm == "amplitude" else math.pi**-0.25 / widths.sqrt()
    return torch.polar(factor[:, None] * envelope, -omega * u)
