"""Log-mel spectrograms inside the network."""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor

from blockyard.backbones.inputs.front_end import FrontEnd, standardised

MelScale = Literal["htk", "slaney"]


class LogMel(FrontEnd):
    """Waveforms ``(B, 1, L)`` to log-mel spectrograms ``(B, 1, n_mels, T)``, T = 1 + L // hop_length.

    Power spectra of Hann windows around every ``hop_length``-th sample, triangular filters on a mel scale, a logarithm,
    a normalisation: torchaudio's ``MelSpectrogram`` on the same settings, on the network's device, without torchaudio.
    It has no parameters and nothing to save, computes in float32 whatever autocast says, and treats every clip by
    itself. In training it may mask bands and times (Park et al., SpecAugment, Interspeech 2019); what is masked gets
    the clip's mean.

    Args:
        sample_rate: Samples a second.
        n_fft: Samples of a Fourier transform; None takes 25 ms.
        win_length: Samples of a window, in the middle of a transform; None takes ``n_fft``.
        hop_length: Samples from window to window; None takes 10 ms.
        n_mels: Mel bands.
        f_min: Lowest frequency, in Hz.
        f_max: Highest frequency, in Hz; None takes half the sample rate.
        mel_scale: The mel scale of HTK or that of Slaney's Auditory Toolbox.
        norm: ``"slaney"`` gives the filters equal areas; None, equal heights.
        scale: ``"log"`` is ln(power + 10⁻⁶), ``"db"`` is 10 log₁₀(max(power, 10⁻¹⁰)).
        top_db: With ``"db"``, how far below its loudest value a clip reaches.
        normalise: ``"sample"`` subtracts a clip's mean and divides by its standard deviation, ``"corpus"`` uses those
            given; None leaves the values alone.
        mean: Mean over the corpus.
        std: Standard deviation over the corpus.
        freq_mask: In training, the most bands that a mask covers; None masks none.
        time_mask: In training, the most windows that a mask covers; None masks none.
        masks: Masks of either kind.
        as_channels: Whether bands are the channels of a sequence, ``(B, n_mels, T)``, for networks in one dimension.

    Raises:
        ValueError: If a number is out of range, or the options do not fit together.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int = 16_000,
        n_fft: int | None = None,
        win_length: int | None = None,
        hop_length: int | None = None,
        n_mels: int = 64,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: MelScale = "htk",
        norm: Literal["slaney"] | None = None,
        scale: Literal["log", "db"] = "log",
        top_db: float | None = None,
        normalise: Literal["sample", "corpus"] | None = "sample",
        mean: float | None = None,
        std: float | None = None,
        freq_mask: int | None = None,
        time_mask: int | None = None,
        masks: int = 1,
        as_channels: bool | None = None,
    ) -> None:
        super().__init__()
        self.shape = (n_mels,) if as_channels else (1, n_mels)
        self.sample_rate = sample_rate
        self.n_fft = n_fft or 2 * round(0.0125 * sample_rate)
        self.win_length = win_length or self.n_fft
        self.hop_length = hop_length or round(0.01 * sample_rate)
        self.n_mels, self.f_min, self.f_max = n_mels, f_min, sample_rate / 2 if f_max is None else f_max
        self.scale, self.top_db, self.normalise = scale, top_db, normalise
        if (normalise == "corpus") != (mean is not None) or (mean is None) != (std is None):
            raise ValueError(f"LogMel: normalise corpus takes mean and std, got {normalise}, {mean} and {std}")
        self.mean, self.std = mean or 0.0, 1.0 if std is None else std
        self.freq_mask, self.time_mask, self.masks = freq_mask or 0, time_mask or 0, masks
        self._check()
        self.register_buffer("window", torch.hann_window(self.win_length), persistent=False)
        filters = mel_filters(self.n_fft, self.sample_rate, n_mels, f_min, self.f_max, mel_scale, norm)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms of ``(B, 1, L)``, in the precision of the network.

        Raises:
            ValueError: If the clips are not of one channel, or too short for a single window.
        """
        if x.dim() != 3 or x.shape[1] != 1 or x.shape[2] <= self.n_fft // 2:
            raise ValueError(
                f"LogMel takes waveforms (B, 1, L) of more than {self.n_fft // 2} samples, got {(*x.shape,)}"
            )
        if x.shape[0] == 0:  # of a process that has no clip left; there is no Fourier transform of nothing
            frames = 1 + (x.shape[2] - self.n_fft % 2) // self.hop_length
            return self.window.new_zeros(0, *self.shape, frames)
        with torch.autocast(x.device.type, enabled=False):
            y = self._normalised(self._scaled(self._power(x[:, 0].float())))
            if self.training and (self.freq_mask or self.time_mask):
                y = self._masked(y)
        return y.unflatten(1, self.shape).to(self.window.dtype)

    def extra_repr(self) -> str:
        """The settings that matter most."""
        return f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, n_mels={self.n_mels}"

    def _power(self, x: Tensor) -> Tensor:
        """Mel power ``(B, n_mels, T)`` of ``(B, L)``."""
        window = self.window.float()
        spectrum = torch.stft(x, self.n_fft, self.hop_length, self.win_length, window, return_complex=True)
        # Not abs(): its gradient at zero, in digital silence, is not a number.
        return torch.matmul(self.filters.float(), spectrum.real.square() + spectrum.imag.square())

    def _scaled(self, power: Tensor) -> Tensor:
        if self.scale == "log":
            return (power + 1e-6).log()
        decibels = 10 * power.clamp(min=1e-10).log10()
        return decibels if self.top_db is None else decibels.maximum(decibels.amax((1, 2), keepdim=True) - self.top_db)

    def _normalised(self, y: Tensor) -> Tensor:
        if self.normalise == "corpus":
            return (y - self.mean) / self.std
        if self.normalise == "sample":
            return standardised(y)
        return y

    def _masked(self, y: Tensor) -> Tensor:
        silenced = torch.zeros_like(y, dtype=torch.bool)
        for _ in range(self.masks):
            silenced = silenced | spans(y, 1, self.freq_mask) | spans(y, 2, self.time_mask)
        return torch.where(silenced, y.mean((1, 2), keepdim=True), y)

    def _check(self) -> None:
        if min(self.sample_rate, self.n_fft, self.hop_length, self.n_mels, self.masks) < 1:
            raise ValueError("LogMel: sample_rate, n_fft, hop_length, n_mels and masks must be positive")
        if not 1 <= self.win_length <= self.n_fft:
            raise ValueError(f"LogMel: win_length={self.win_length} must be at most n_fft={self.n_fft}")
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(
                f"LogMel: f_min={self.f_min} and f_max={self.f_max} must rise and lie between 0 and half of "
                f"sample_rate={self.sample_rate}"
            )
        if self.top_db is not None and (self.scale != "db" or self.top_db <= 0):
            raise ValueError(f"LogMel: top_db={self.top_db} must be positive, and goes with scale db")
        if self.std <= 0:
            raise ValueError(f"LogMel: std={self.std} must be positive")
        if self.time_mask < 0 or not 0 <= self.freq_mask <= self.n_mels:
            raise ValueError(
                f"LogMel: time_mask={self.time_mask} must not be negative, and freq_mask={self.freq_mask} lie between "
                f"0 and n_mels={self.n_mels}"
            )


def mel_filters(
    n_fft: int,
    sample_rate: int,
    n_mels: int,
    f_min: float,
    f_max: float,
    mel_scale: MelScale,
    norm: Literal["slaney"] | None,
) -> Tensor:
    """Triangular filters ``(n_mels, n_fft // 2 + 1)``, evenly spaced on a mel scale.

    The arguments are those of :class:`LogMel`; filters so narrow that they fall between two frequencies are warned of.
    """
    frequencies = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1, dtype=torch.float64)
    to_mel, to_hertz = (_htk, _from_htk) if mel_scale == "htk" else (_slaney, _from_slaney)
    low, high = to_mel(torch.tensor([f_min, f_max], dtype=torch.float64)).tolist()
    corners = to_hertz(torch.linspace(low, high, n_mels + 2, dtype=torch.float64))
    widths = corners.diff()[:, None]
    rising = (frequencies - corners[:-2, None]) / widths[:-1]
    falling = (corners[2:, None] - frequencies) / widths[1:]
    filters = torch.minimum(rising, falling).clamp(min=0)
    if empty := int((filters.amax(1) == 0).sum()):
        warnings.warn(
            f"LogMel: {empty} of n_mels={n_mels} bands lie between two frequencies and stay empty; "
            f"lower n_mels or raise n_fft={n_fft}",
            stacklevel=3,
        )
    if norm == "slaney":
        filters = filters * (2 / (corners[2:] - corners[:-2]))[:, None]
    return filters.float()


def spans(y: Tensor, dim: int, largest: int) -> Tensor:
    """A mask that holds one random span of up to ``largest`` positions along ``dim`` for each clip.

    Args:
        y: Spectrograms ``(B, n_mels, T)``.
        dim: 1 for bands, 2 for times.
        largest: Largest span; the width is uniform from 0 on, and so is the place where it fits.
    """
    size = y.shape[dim]
    width = torch.randint(min(largest, size) + 1, (len(y), 1, 1), device=y.device)
    start = (torch.rand(len(y), 1, 1, device=y.device) * (size - width + 1)).floor()
    shape = [1, 1, 1]
    shape[dim] = size
    position = torch.arange(size, device=y.device).view(shape)
    return (position >= start) & (position < start + width)


def _htk(hertz: Tensor) -> Tensor:
    return 2595 * (1 + hertz / 700).log10()


def _from_htk(mel: Tensor) -> Tensor:
    return 700 * (10 ** (mel / 2595) - 1)


_STEP = 27 / torch.tensor(6.4, dtype=torch.float64).log()
"""Mels in a natural logarithm: on Slaney's scale 27 of them are a factor of 6.4, above 1000 Hz, which is mel 15."""


def _slaney(hertz: Tensor) -> Tensor:
    return torch.where(hertz < 1000, 3 * hertz / 200, 15 + _STEP * (hertz.clamp(min=1) / 1000).log())


def _from_slaney(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, 200 * mel / 3, 1000 * ((mel - 15) / _STEP).exp())
