"""Polynomials of the features: a convolution of their powers, and a branch of their products."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, divide
from blockyard.blocks.convolutions.convolution import (
    BATCH_NORMS,
    CONVOLUTIONS,
    ConvolutionSlot,
    convolve,
    init_like_convolution,
)
from blockyard.blocks.half_precision import ranged, roomy
from blockyard.blocks.nonlocals.affinities import Projection


class PolynomialConvolution(ConvolutionSlot):
    """Y = b + Σ_d W_d ∗ x^d, d = 1…D, the powers taken element by element.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        degree: D; 1 is a convolution.
        bound: ``tanh`` keeps the input of the powers within ±1, so that they neither overflow nor grow from layer to
            layer; ``none`` takes the input as it is.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If ``degree`` is less than 1.
    """

    paper: ClassVar[str] = (
        "Ben Abdallah et al., 1-Dimensional Polynomial Neural Networks for Audio Signal Related Problems, "
        "Knowledge-Based Systems 2022"
    )

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        degree: int = 2,
        bound: Literal["tanh", "none"] = "tanh",
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        if degree < 1:
            raise ValueError(f"PolynomialConvolution: degree must be at least 1, got {degree}")
        g = self.geometry
        shape = g.out_channels, g.in_channels // g.groups, *g.kernel_size
        self.weights = nn.ParameterList(torch.empty(shape) for _ in range(degree))
        self.bias = nn.Parameter(torch.empty(g.out_channels)) if g.bias else None
        for weight in self.weights:
            init_like_convolution(weight, self.bias, degree * g.fan_in)
        self.bound = bound

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the host gives; the same shape without a host."""
        x = x.tanh() if self.bound == "tanh" else x
        first = total = convolve(x, self.weights[0], self.bias, self.geometry)
        x = power = x.to(roomy(x))
        for weight in list(self.weights)[1:]:
            power = power * x
            term = partial(convolve, weight=weight, bias=None, like=self.geometry)
            total = total + ranged(term, power, terms=self.geometry.fan_in)
        return total.to(first.dtype)

    def reduce_degree(self, tolerance: float = 0.0) -> int:
        """Drop the highest powers whose weights are all within ``tolerance`` of zero; the first power stays.

        Returns:
            The degree that is left.
        """
        degree = len(self.weights)
        while degree > 1 and self.weights[degree - 1].abs().max() <= tolerance:
            degree -= 1
        self.weights = self.weights[:degree]
        return degree


class PolynomialBranch(Block):
    """Y = X + α · W N(U₁X ⊙ U₂X): the second-order term that a residual block lacks, α = 0 at first.

    N is instance norm without parameters; U₁, U₂ and W are linear in the channels of a position. With α = 0 the
    network is the plain one; residual networks are the polynomials of first degree, nonlocal ones those of third.

    With a ``kernel_size`` it is the branch of the paper's networks, whose place is behind the shortcut of a unit:
    Y = X + α · A N W(A B U₁BX ⊙ A B U₂BX), with convolutions U₁, U₂ and W, batch norms B and an activation A.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C over the channels of the product.
        norm: Whether N and B are there; without them and A every output is a polynomial of degree two in the input.
        inner: Channels of the product, in place of C / ``reduction``.
        kernel_size: Taps of the convolutions along each axis, odd; None is the pointwise branch.
        negative_slope: Of A, a leaky ReLU behind U₁, U₂ and W; None is no activation.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``, ``inner`` is not positive, or ``kernel_size`` is not
            odd.
    """

    paper: ClassVar[str] = "Chrysos et al., Augmenting Deep Classifiers with Polynomial Neural Networks, ECCV 2022"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        reduction: int = 4,
        norm: bool = True,
        inner: int | None = None,
        kernel_size: int | None = None,
        negative_slope: float | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "PolynomialBranch") if inner is None else inner
        if inner < 1:
            raise ValueError(f"PolynomialBranch: inner must be at least 1, got {inner}")
        self.kernel_size = kernel_size
        instance_norm = InstanceNorm if norm else nn.Identity
        self.entry: nn.Module = nn.Identity()
        self.first: nn.Module
        self.second: nn.Module
        self.out: nn.Module
        if kernel_size is None:
            self.first, self.second = (Projection(channels, inner, spatial_dims) for _ in range(2))
            self.product_norm = instance_norm()
            self.out = Projection(inner, channels, spatial_dims)
        else:
            batch_norm = BATCH_NORMS[spatial_dims] if norm else nn.Identity
            self.entry = batch_norm(channels)
            self.first, self.second = (
                nn.Sequential(_convolution(channels, inner, kernel_size, spatial_dims), batch_norm(inner))
                for _ in range(2)
            )
            self.product_norm = nn.Identity()
            self.out = nn.Sequential(_convolution(inner, channels, kernel_size, spatial_dims), instance_norm())
        if kernel_size == 1 and norm:
            self.without_effect = ("entry.bias",)  # pointwise convolutions and batch norms follow
        self.activation = nn.Identity() if negative_slope is None else nn.LeakyReLU(negative_slope)
        self.alpha = nn.Parameter(torch.zeros(()))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        entered = self.entry(x)
        first, second = (self.activation(factor(entered)) for factor in (self.first, self.second))
        product = self.product_norm(first.to(roomy(first)) * second)
        out, norm = self.out if isinstance(self.out, nn.Sequential) else (self.out, nn.Identity())
        term = self.activation(norm(ranged(out, product, terms=next(out.parameters())[0].numel())))
        return x + (self.alpha * term).to(x.dtype).reshape(x.shape)


class InstanceNorm(nn.Module):
    """Mean 0 and variance 1 over the positions of each map of ``(B, C, *S)``, without parameters.

    Other than torch's own it takes a single position, which deviates from nothing.
    """

    epsilon = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, *S)``; the same shape and dtype."""
        signal = x.flatten(2)
        # Squares leave float16's range, and a mean of bfloat16 has three digits.
        wide = signal.float() if x.dtype in (torch.float16, torch.bfloat16) else signal
        centred = wide - wide.mean(2, keepdim=True)
        normed = centred * (centred.square().mean(2, keepdim=True) + self.epsilon).rsqrt()
        return normed.to(x.dtype).reshape(x.shape)


def _convolution(in_channels: int, out_channels: int, kernel_size: int, spatial_dims: int) -> nn.Module:
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"PolynomialBranch: kernel_size must be odd, got {kernel_size}")
    return CONVOLUTIONS[spatial_dims](in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
