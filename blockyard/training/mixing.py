"""Mixing the samples of a training batch with each other, labels and all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta


@dataclass(frozen=True)
class Mixing:
    """mixup and CutMix, for batches ``(B, C, *S)`` of any size and of rank 1 to 3.

    Each sample is mixed with the one before it in the batch, whose order is random. With mixup it keeps a share λ of
    itself everywhere (Zhang et al., mixup, ICLR 2018); with CutMix it keeps all but a box, whose share of the volume is
    about 1 − λ before the border cuts it (Yun et al., CutMix, ICCV 2019). λ comes from Beta(α, α), and labels are mixed
    by the share that was kept. A box spans all axes but the time of a video: the same part of every frame is cut, which
    trains better than cutting time (Yun et al., VideoMix, 2020); of a waveform it is an interval.

    The random numbers come from torch's global generator on the CPU, which a checkpoint keeps.

    Args:
        mixup_alpha: α of mixup; None never does it.
        cutmix_alpha: α of CutMix; None never does it.
        probability: How often anything is mixed.
        switch_probability: How often it is CutMix, where both are possible.
        per_sample: Whether each sample has a λ, a box and a choice of its own, instead of the batch.

    Raises:
        ValueError: If there is neither α, or a number is out of range.
    """

    mixup_alpha: float | None = None
    cutmix_alpha: float | None = None
    probability: float = 1.0
    switch_probability: float = 0.5
    per_sample: bool = False

    def __post_init__(self) -> None:
        if self.mixup_alpha is None and self.cutmix_alpha is None:
            raise ValueError("mixing: give mixup_alpha, cutmix_alpha or both; mixing=null mixes nothing")
        for name in ("mixup_alpha", "cutmix_alpha"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"mixing: {name}={value} must be positive; null never does it")
        for name in ("probability", "switch_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"mixing: {name}={getattr(self, name)} must be from 0 to 1")

    def __call__(self, x: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed samples and labels, of the same shapes.

        Args:
            x: Samples ``(B, C, *S)``, floating point.
            shares: Labels as shares of the classes ``(B, K)``; of several labels a sample, zeros and ones.
        """
        kept = self._kept(x)
        share = kept.flatten(1).mean(1, keepdim=True)
        kept = kept.to(x.dtype)
        return kept * x + (1 - kept) * x.roll(1, 0), share * shares + (1 - share) * shares.roll(1, 0)

    def _kept(self, x: Tensor) -> Tensor:
        """What is kept of each sample at each place: ``(B or 1, 1, *S or ones)``."""
        count = len(x) if self.per_sample else 1
        cut = torch.rand(count) < self._cut_probability()
        alpha = torch.where(cut, self.cutmix_alpha or 1.0, self.mixup_alpha or 1.0)
        share = torch.where(torch.rand(count) < self.probability, Beta(alpha, alpha).sample(), 1.0)
        axes = min(x.dim() - 2, 2)
        numbers = torch.cat([cut[:, None], share[:, None], torch.rand(count, axes)], 1).to(x.device)
        ones = (1,) * (x.dim() - 1)
        inside = _box(x.shape[-axes:], 1 - numbers[:, 1], numbers[:, 2:]).view(count, *ones[axes:], *x.shape[-axes:])
        cut, share = numbers[:, 0].bool().view(count, *ones), numbers[:, 1].view(count, *ones)
        return torch.where(cut, 1 - inside, share)

    def _cut_probability(self) -> float:
        if self.cutmix_alpha is None or self.mixup_alpha is None:
            return float(self.mixup_alpha is None)
        return self.switch_probability


def _box(sizes: torch.Size, volume: Tensor, centre: Tensor) -> Tensor:
    """Ones inside a box and zeros outside ``(n, *sizes)``.

    Args:
        sizes: Lengths of the axes.
        volume: Share of the whole that the box has if it lies within it ``(n,)``.
        centre: Where its centre is, from 0 to 1 along each axis ``(n, axes)``.
    """
    box = volume.new_ones(len(volume), *(1 for _ in sizes))
    for axis, size in enumerate(sizes):
        length = (size * volume ** (1 / len(sizes))).floor()[:, None]
        start = (size * centre[:, axis, None]).floor() - (length / 2).floor()
        place = torch.arange(size, device=volume.device)
        along = (place >= start) & (place < start + length)
        box = box * along.view(len(volume), *(size if i == axis else 1 for i in range(len(sizes))))
    return box
