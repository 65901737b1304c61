"""Kernels that wide random networks tend to, in closed form, and the networks: products, and trees of patches.

All weights are drawn from N(0, 1) and divided by √fan-in where they are used, and the activation is √2 · ReLU, so that
variances stay what they are from layer to layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Moments(NamedTuple):
    """Of pairs ``(n, m)`` of jointly Gaussian numbers u and v of mean 0, and σ = √2 · ReLU.

    Attributes:
        values: E[σ(u) σ(v)].
        slopes: E[σ'(u) σ'(v)].
    """

    values: Tensor
    slopes: Tensor


def relu_moments(xx: Tensor, yy: Tensor, xy: Tensor) -> Moments:
    """The moments for variances ``(n, 1)`` and ``(1, m)`` and covariances ``(n, m)``, or others that broadcast.

    Cho, Saul: Kernel Methods for Deep Learning, NeurIPS 2009.
    """
    lengths = (xx * yy).sqrt()
    cosine = torch.where(lengths > 0, xy / lengths, 0.0).clamp(-1, 1)
    angle = cosine.acos()
    slopes = (math.pi - angle) / math.pi
    return Moments(lengths * ((1 - cosine.square()).sqrt() / math.pi + slopes * cosine), slopes)


class HadamardNetwork(nn.Module):
    """f(x) = Σ_j v_j Π_n σ(w_nj · x) / √m, n = 1…N, from ``(B, d)``: a product of N layers side by side, m units wide.

    N = 1 is the network with one hidden layer. f(t x) is t^N f(x) for t ≥ 0: where one layer goes on in a straight
    line, N go on as a polynomial of degree N.

    Args:
        in_features: Length d of x; to be divided by √d is left to the caller.
        width: Units m.
        degree: Layers N that are multiplied.
    """

    def __init__(self, in_features: int, width: int, degree: int) -> None:
        super().__init__()
        self.inner = nn.ParameterList(torch.randn(width, in_features) for _ in range(degree))
        self.outer = nn.Parameter(torch.randn(1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, d)`` to ``(B, 1)``."""
        product = torch.ones((), dtype=x.dtype, device=x.device)
        for weight in self.inner:
            product = product * math.sqrt(2) * F.linear(x, weight).relu()
        return F.linear(product, self.outer) / math.sqrt(self.outer.shape[1])


def hadamard_kernel(x: Tensor, y: Tensor, degree: int, relu: bool = True) -> Tensor:
    """The tangent kernel of an infinitely wide :class:`HadamardNetwork`: κ^N + N ⟨x, y⟩ κ' κ^(N - 1).

    κ and κ' are the :class:`Moments`. Without activations κ is ⟨x, y⟩ and κ' is 1, which makes (N + 1) ⟨x, y⟩^N.
    Wu et al., Extrapolation and Spectral Bias of Neural Nets with Hadamard Product, NeurIPS 2022, study such kernels.

    Args:
        x: ``(n, d)``.
        y: ``(m, d)``.
        degree: N.
        relu: Whether there are activations.

    Returns:
        ``(n, m)``.
    """
    xy = x @ y.T
    plain = Moments(xy, torch.ones_like(xy))
    found = relu_moments(x.square().sum(1)[:, None], y.square().sum(1)[None], xy) if relu else plain
    return found.values**degree + degree * xy * found.slopes * found.values ** (degree - 1)


class HierarchicalNetwork(nn.Module):
    """Convolutions of ``(B, C, *S)`` over patches that do not overlap, σ behind each, and a linear map of what is left.

    Args:
        in_channels: Channels of the input.
        size: Positions of the input along each axis.
        width: Channels of every layer.
        patches: Side of the patches of each layer, from the input on.

    Raises:
        ValueError: If the patches do not fill the input.
    """

    def __init__(self, in_channels: int, size: Sequence[int], width: int, patches: Sequence[int]) -> None:
        super().__init__()
        left = _left(size, patches)
        self.rank = len(size)
        widths = [in_channels, *[width] * len(patches)]
        shapes = [(width, before, *[side] * self.rank) for before, side in zip(widths, patches, strict=False)]
        self.weights = nn.ParameterList(torch.randn(shape) for shape in shapes)
        self.outer = nn.Parameter(torch.randn(1, widths[-1] * math.prod(left)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to ``(B, 1)``."""
        for weight in self.weights:
            seen = CONVOLUTIONS[self.rank](x, weight, stride=weight.shape[2:])
            x = math.sqrt(2 / weight[0].numel()) * seen.relu()
        return F.linear(x.flatten(1), self.outer) / math.sqrt(self.outer.shape[1])


class WideKernels(NamedTuple):
    """Of an infinitely wide network, ``(n, m)`` each.

    Attributes:
        features: The covariance of outputs: the kernel where the last layer alone learns.
        tangent: The tangent kernel: where all layers learn.
    """

    features: Tensor
    tangent: Tensor


def hierarchical_kernels(x: Tensor, y: Tensor, patches: Sequence[int]) -> WideKernels:
    """The kernels of an infinitely wide :class:`HierarchicalNetwork`.

    A layer averages the kernel of the one before over each patch and takes the :class:`Moments` of that; the tangent
    kernel is averaged alike, times κ'. Two positions of a layer have no part in each other: what their common patch
    makes of them has weights of its own for each. Cagnetta, Favero, Wyart: What Can Be Learnt With Wide Convolutional
    Neural Networks?, ICML 2023, study such kernels.

    Args:
        x: ``(n, C, *S)``.
        y: ``(m, C, *S)``.
        patches: Side of the patches of each layer, from the input on.

    Raises:
        ValueError: If the patches do not fill the input.
    """
    _left(x.shape[2:], patches)
    xx, yy = x.square().mean(1)[:, None], y.square().mean(1)[None]
    xy = torch.einsum("nc...,mc...->nm...", x, y) / x.shape[1]
    tangent = torch.zeros_like(xy)
    for side in patches:
        xx, yy, xy, tangent = (_over_patches(kernel, side) for kernel in (xx, yy, xy, tangent))
        found = relu_moments(xx, yy, xy)
        xy, tangent = found.values, (tangent + xy) * found.slopes
    features = xy.flatten(2).mean(2)
    return WideKernels(features, features + tangent.flatten(2).mean(2))


def _over_patches(kernel: Tensor, side: int) -> Tensor:
    """Means of ``(n, m, *S)`` over patches."""
    return POOLS[kernel.ndim - 2](kernel.flatten(0, 1)[:, None], side).squeeze(1).unflatten(0, kernel.shape[:2])


def _left(size: Sequence[int], patches: Sequence[int]) -> list[int]:
    """Positions along each axis behind all layers."""
    whole = math.prod(patches)
    if any(length % whole for length in size):
        raise ValueError(f"patches of {' · '.join(map(str, patches))} do not fill an input of {tuple(size)}")
    return [length // whole for length in size]
