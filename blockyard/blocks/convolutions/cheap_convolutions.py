"""Convolutions with fewer weights: ghost features, and weights as sums of Kronecker products."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.convolutions.convolution import (
    BATCH_NORMS,
    CONVOLUTIONS,
    ConvolutionSlot,
    convolve,
    init_like_convolution,
)


class GhostModule(ConvolutionSlot):
    """Y = [P, D P]: a convolution P makes C'/s maps, a cheap depthwise convolution D of them makes the others.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        ratio: s, the output channels over those that the full convolution makes; 1 is that convolution alone.
        cheap_kernel_size: Taps of the depthwise convolution along each axis; odd. With 5 in all
            convolutions of the stages a ResNet-50 has the count known for Ghost-ResNet-50.
        norm: Whether batch norm follows either convolution, as in the paper.
        relu: Whether ReLU follows either, as in the paper.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If the host has groups or a bias, ``ratio`` is not from 1 to the output channels, or
            ``cheap_kernel_size`` is even.
    """

    paper: ClassVar[str] = "Han et al., GhostNet: More Features from Cheap Operations, CVPR 2020"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        ratio: int = 2,
        cheap_kernel_size: int = 3,
        norm: bool = True,
        relu: bool = True,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        g, rank, taps = self.geometry, spatial_dims, cheap_kernel_size
        if not 1 <= ratio <= g.out_channels:
            raise ValueError(f"GhostModule: ratio must be from 1 to {g.out_channels}, got {ratio}")
        if taps < 1 or taps % 2 == 0:
            raise ValueError(f"GhostModule: cheap_kernel_size must be odd and positive, got {taps}")
        if g.groups > 1:
            raise ValueError(f"GhostModule replaces a convolution without groups, not one of {g.groups}")
        primary = math.ceil(g.out_channels / ratio)
        ghosts = primary * (ratio - 1)
        convolution: Callable[..., nn.Module] = CONVOLUTIONS[rank]

        def followed(module: nn.Module, width: int) -> nn.Sequential:
            return nn.Sequential(module, *[BATCH_NORMS[rank](width)] * norm, *[nn.ReLU(inplace=True)] * relu)

        self.primary = followed(
            convolution(channels, primary, g.kernel_size, g.stride, g.padding, g.dilation, bias=g.bias), primary
        )
        self.cheap = (
            followed(convolution(primary, ghosts, taps, padding=taps // 2, groups=primary, bias=g.bias), ghosts)
            if ghosts
            else None
        )
        if norm:  # it takes away a shift, and the size of a ghost's only factor
            self.without_effect = ("*.0.bias",) if g.bias else ()
            self.without_scale = ("cheap.0.weight",) if ghosts and taps == 1 else ()

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the host gives; the same shape without a host."""
        intrinsic = self.primary(x)
        if self.cheap is None:
            return intrinsic
        return torch.cat([intrinsic, self.cheap(intrinsic)], 1)[:, : self.geometry.out_channels]


class PHC(ConvolutionSlot):
    """A convolution with weight Σᵢ Aᵢ ⊗ Fᵢ, i = 1…n: an algebra of dimension n, learned, and 1/n of the weights.

    Aᵢ is n × n and Fᵢ a kernel for C'/n and C/n channels; with A fixed to Hamilton's matrices and n = 4 this is the
    convolution of quaternions. The bias is used, unlike in the released code.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        dimension: n.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If n does not divide the input channels of a group or the output channels.
    """

    paper: ClassVar[str] = (
        "Grassucci et al., PHNNs: Lightweight Neural Networks via Parameterized Hypercomplex Convolutions, TNNLS 2022"
    )

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, dimension: int = 4, host: nn.Module | None = None
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        g = self.geometry
        inputs = divide(g.in_channels // g.groups, dimension, "PHC", "dimension")
        outputs = divide(g.out_channels, dimension, "PHC", "dimension")
        # variance 1/n each, so that the sum of n products has the variance of the filters
        self.algebra = nn.Parameter(torch.randn(dimension, dimension, dimension) * dimension**-0.5)
        self.filters = nn.Parameter(torch.empty(dimension, outputs, inputs, *g.kernel_size))
        self.bias = nn.Parameter(torch.empty(g.out_channels)) if g.bias else None
        init_like_convolution(self.filters, self.bias, g.fan_in)

    def kernel(self) -> Tensor:
        """The weight Σᵢ Aᵢ ⊗ Fᵢ of the whole convolution, ``(out, C / groups, *K)``."""
        product = torch.einsum("nab,noi...->aobi...", self.algebra, self.filters)
        return product.flatten(2, 3).flatten(0, 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the host gives; the same shape without a host."""
        return convolve(x, self.kernel(), self.bias, self.geometry)
