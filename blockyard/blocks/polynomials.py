"""Polynomials of the features: a convolution of their powers, and a branch of their products."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from blockyard.blocks.affinities import Projection
from blockyard.blocks.base import Block, divide
from blockyard.blocks.convolution import ConvolutionSlot, convolve, init_like_convolution


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
        power = x
        total = convolve(power, self.weights[0], self.bias, self.geometry)
        for weight in list(self.weights)[1:]:
            power = power * x
            total = total + convolve(power, weight, None, self.geometry)
        return total

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

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C over the channels of the product.
        norm: Whether N is there; without it every output is a polynomial of degree two in the input.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``.
    """

    paper: ClassVar[str] = "Chrysos et al., Augmenting Deep Classifiers with Polynomial Neural Networks, ECCV 2022"

    def __init__(self, channels: int, spatial_dims: int = 2, *, reduction: int = 4, norm: bool = True) -> None:
        super().__init__(channels, spatial_dims)
        inner = divide(channels, reduction, "PolynomialBranch")
        self.first = Projection(channels, inner, spatial_dims)
        self.second = Projection(channels, inner, spatial_dims)
        self.out = Projection(inner, channels, spatial_dims)
        self.alpha = nn.Parameter(torch.zeros(()))
        self.norm = norm

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        product = self.first(x) * self.second(x)
        if self.norm:
            product = _instance_norm(product)
        return x + self.alpha * self.out(product).reshape(x.shape)


def _instance_norm(signal: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Mean 0 and variance 1 over the positions of ``(B, c, N)``; torch's own refuses a single position."""
    wide = signal.float() if signal.dtype in (torch.float16, torch.bfloat16) else signal
    centred = wide - wide.mean(2, keepdim=True)
    return (centred * (centred.square().mean(2, keepdim=True) + epsilon).rsqrt()).to(signal.dtype)
