"""Global covariance pooling: the square root of the channels' covariance instead of their means."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.channels.second_order import covariance
from blockyard.blocks.half_precision import roomy
from blockyard.poolings.base import Pooling
from blockyard.poolings.matrix_roots import exact_root, newton_schulz_root, upper_triangle

INNER = 256
"""Channels that the papers reduce a wide map to."""


class CovariancePooling(Pooling):
    """z = upper triangle of Σ^½: Σ the covariance over all positions of d channels.

    A wide map is first reduced to d channels by a 1×1 convolution, a norm and a ReLU. The covariance and its root are
    computed in float32 at least, whatever autocast says. Both papers' ResNets take the stride out of the last stage
    (``last_stride: 1`` of the backbone), for the covariance of d channels over few positions has a low rank.

    Args:
        channels: Channels C of the feature map.
        inner: d. None takes 256 where there are more channels; fewer, or as many as named, stay as they are, without
            the convolution.
        gaussian: Take the root of [[Σ + β² μ μᵀ, β μ], [β μᵀ, 1]] instead, which embeds the Gaussian of mean μ and
            covariance Σ (Wang et al., G²DeNet: Global Gaussian Distribution Embedding Network, CVPR 2017).
        mean_weight: β, for ``gaussian`` only; None takes 1.

    Raises:
        ValueError: If ``inner`` or ``mean_weight`` is not positive, or a weight is given without ``gaussian``.
    """

    def __init__(
        self, channels: int, inner: int | None = None, gaussian: bool = False, mean_weight: float | None = None
    ) -> None:
        name = type(self).__name__
        kept = min(channels, INNER) if inner is None else inner
        if kept < 1:
            raise ValueError(f"{name}: inner must be at least 1, got {kept}")
        if mean_weight is not None and (mean_weight <= 0 or not gaussian):
            raise ValueError(f"{name}: mean_weight must be positive, and is for gaussian=True only, got {mean_weight}")
        side = kept + gaussian
        super().__init__(channels, side * (side + 1) // 2)
        self.reduce: nn.Module = nn.Identity()
        if kept != channels:
            self.reduce = nn.Sequential(nn.Conv1d(channels, kept, 1, bias=False), nn.BatchNorm1d(kept), nn.ReLU())
        self.gaussian = gaussian
        self.mean_weight = 1.0 if mean_weight is None else mean_weight

    def pool(self, signal: Tensor) -> Tensor:
        """Pool ``(B, C, N)`` to ``(B, D)``.

        Raises:
            ValueError: In training, if there is a single position, whose covariance is zero.
        """
        if self.training and signal.shape[2] == 1 and not self.gaussian:
            raise ValueError(
                f"{type(self).__name__}: the map has a single position, which has no covariance; take larger inputs, "
                "a smaller stride, or gaussian=True"
            )
        reduced = self.reduce(signal)
        dtype = roomy(reduced)
        with torch.autocast(signal.device.type, enabled=False):
            wide = reduced.float() if reduced.itemsize < 4 else reduced
            matrix = gaussian_embedding(wide, self.mean_weight) if self.gaussian else covariance(wide)
            return upper_triangle(self.root(matrix)).to(dtype)

    @abstractmethod
    def root(self, matrix: Tensor) -> Tensor:
        """The square root of symmetric positive semidefinite matrices, ``(B, d, d)``."""


class ISqrtCov(CovariancePooling):
    """iSQRT-COV: the root by a few Newton–Schulz steps between a division by the trace and its undoing.

    Args:
        channels: Channels C of the feature map.
        inner: See :class:`CovariancePooling`.
        gaussian: See :class:`CovariancePooling`.
        mean_weight: See :class:`CovariancePooling`.
        iterations: Steps N.

    Raises:
        ValueError: As :class:`CovariancePooling`, or if ``iterations`` is not positive.
    """

    paper: ClassVar[str] = (
        "Li et al., Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root "
        "Normalization, CVPR 2018"
    )

    def __init__(
        self,
        channels: int,
        inner: int | None = None,
        gaussian: bool = False,
        mean_weight: float | None = None,
        iterations: int = 5,
    ) -> None:
        super().__init__(channels, inner, gaussian, mean_weight)
        if iterations < 1:
            raise ValueError(f"ISqrtCov: iterations must be at least 1, got {iterations}")
        self.iterations = iterations

    def root(self, matrix: Tensor) -> Tensor:
        """Approximate the square roots, ``(B, d, d)``."""
        return newton_schulz_root(matrix, self.iterations)


class MPNCov(CovariancePooling):
    """MPN-COV: the root, the matrix power ½, by the eigenvalues.

    ``gaussian`` is in the paper's extension (Wang et al., Deep CNNs Meet Global Covariance Pooling, TPAMI 2020).

    Args:
        channels: Channels C of the feature map.
        inner: See :class:`CovariancePooling`.
        gaussian: See :class:`CovariancePooling`.
        mean_weight: See :class:`CovariancePooling`.

    Raises:
        ValueError: As :class:`CovariancePooling`.
    """

    paper: ClassVar[str] = (
        "Li et al., Is Second-order Information Helpful for Large-scale Visual Recognition?, ICCV 2017"
    )

    def root(self, matrix: Tensor) -> Tensor:
        """Compute the square roots, ``(B, d, d)``."""
        return exact_root(matrix)


def gaussian_embedding(signal: Tensor, mean_weight: float = 1.0) -> Tensor:
    """[[Σ + β² μ μᵀ, β μ], [β μᵀ, 1]] of the rows of ``(B, d, N)`` over N positions, ``(B, d + 1, d + 1)``."""
    mean = mean_weight * signal.mean(2, keepdim=True)
    block = covariance(signal) + mean @ mean.transpose(1, 2)
    above = torch.cat([block, mean], 2)
    below = torch.cat([mean.transpose(1, 2), torch.ones_like(mean[:, :1])], 2)
    return torch.cat([above, below], 1)
