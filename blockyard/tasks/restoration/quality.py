"""How near restored pictures are to the true ones, picture by picture."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

BEST_PSNR = 100.0
"""Decibels that a picture without an error of its own gets: those of an error of 1e-5 of the range."""


def psnr(restored: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture ``(B,)``, dB, at most :data:`BEST_PSNR`.

    Args:
        restored: ``(B, C, H, W)``, values from 0 to 1.
        true: The same.
    """
    ratio = peak_signal_noise_ratio(restored, true, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return ratio.clamp(max=BEST_PSNR)


def ssim(restored: Tensor, true: Tensor) -> Tensor:
    """Structural similarity of each picture ``(B,)``, Gaussian windows of 11×11 pixels with σ = 1.5.

    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment, TIP 2004.

    Args:
        restored: ``(B, C, H, W)``, values from 0 to 1, 11 pixels high and wide at least.
        true: The same.
    """
    found = structural_similarity_index_measure(restored, true, data_range=1.0, reduction="none")
    assert isinstance(found, Tensor)
    return found.reshape(len(true))
