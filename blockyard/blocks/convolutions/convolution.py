"""What stands in for a convolution: it takes over the geometry of the convolution that it replaces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""What torch calls linear interpolation, by rank."""
BATCH_NORMS: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}


@dataclass(frozen=True)
class Geometry:
    """Shape and movement of a convolution, one number for each axis of S where that makes sense.

    Args:
        in_channels: Channels C of the input.
        out_channels: Channels of the output.
        kernel_size: Taps along each axis.
        stride: Step along each axis.
        padding: Zeros before and after each axis.
        dilation: Distance of neighbouring taps along each axis.
        groups: Groups of channels that do not see each other.
        bias: Whether there is a bias.
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool

    @property
    def fan_in(self) -> int:
        """Inputs of one output."""
        return self.in_channels // self.groups * math.prod(self.kernel_size)


class ConvolutionSlot(Block):
    """A block in place of a convolution, whose channels, kernel, stride, padding, groups and bias it takes over.

    A subclass reads them from ``self.geometry``. Without a host it stands for a 3-tap convolution that keeps the
    shape, without bias.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If the host is no convolution of this rank and these channels with zero padding.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "convolution"

    def __init__(self, channels: int, spatial_dims: int = 2, *, host: nn.Module | None = None) -> None:
        super().__init__(channels, spatial_dims)
        rank = spatial_dims
        if host is None:
            ones = (1,) * rank
            self.geometry = Geometry(channels, channels, (3,) * rank, ones, ones, ones, groups=1, bias=False)
        else:
            self.geometry = geometry_of(host, channels, rank, type(self).__name__)

    def extra_repr(self) -> str:
        """The geometry, for ``print(network)``."""
        g = self.geometry
        return f"{g.in_channels}, {g.out_channels}, kernel_size={g.kernel_size}, stride={g.stride}, groups={g.groups}"


def geometry_of(host: nn.Module, channels: int, rank: int, block: str) -> Geometry:
    """The geometry of a convolution.

    Raises:
        ValueError: If the host is no convolution of this rank and these channels with zero padding.
    """
    kind = CONVOLUTIONS[rank]
    if not isinstance(host, kind):
        raise ValueError(f"{block} replaces a {kind.__name__}, not a {type(host).__name__}")
    if host.in_channels != channels or host.padding_mode != "zeros":
        raise ValueError(f"{block} replaces a {kind.__name__} of {channels} channels padded by zeros, not {host}")
    return Geometry(
        host.in_channels,
        host.out_channels,
        tuple(host.kernel_size),
        tuple(host.stride),
        _padding(host, block),
        tuple(host.dilation),
        host.groups,
        host.bias is not None,
    )


def halves_kernel(g: Geometry) -> bool:
    """Whether a convolution is odd and pads by half its kernel, so that it keeps the middle of what it sees."""
    return all(k % 2 and p == d * (k // 2) for k, p, d in zip(g.kernel_size, g.padding, g.dilation, strict=True))


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, like: Geometry) -> Tensor:
    """Convolve ``(B, C, *S)`` with a kernel ``(out, C / groups, *K)`` at a geometry's stride, padding and dilation."""
    function = (F.conv1d, F.conv2d, F.conv3d)[x.dim() - 3]
    padding = like.padding
    if x.dim() == 5 and in_bfloat16_on_cpu(x) and like.dilation[0] * (weight.shape[2] - 1) >= x.shape[2]:
        # torch 2.13 spoils the gradient of a kernel that is deeper than the map; than a padded map none is.
        x, padding = F.pad(x, (0, 0, 0, 0, padding[0], padding[0])), (0, *padding[1:])
    return function(x, weight, bias, like.stride, padding, like.dilation, like.groups)


def in_bfloat16_on_cpu(x: Tensor) -> bool:
    """Whether a convolution of a map ``(B, C, *S)`` would be computed in bfloat16, and on a CPU."""
    mixed = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.device.type == "cpu" and (mixed or x.dtype == torch.bfloat16)


def init_like_convolution(weight: Tensor, bias: Tensor | None, fan_in: int) -> None:
    """Fill a kernel ``(C_out, C_in, *k)`` and a bias ``(C_out,)`` as torch fills a convolution's: within ±1/√fan_in."""
    with torch.no_grad():
        for tensor in (weight, bias):
            if tensor is not None:
                tensor.uniform_(-(fan_in**-0.5), fan_in**-0.5)


def _padding(host: nn.Conv1d | nn.Conv2d | nn.Conv3d, block: str) -> tuple[int, ...]:
    if not isinstance(host.padding, str):
        return tuple(host.padding)
    if host.padding == "valid":
        return (0,) * len(host.kernel_size)
    spans = [d * (k - 1) for k, d in zip(host.kernel_size, host.dilation, strict=True)]
    if any(span % 2 for span in spans):
        raise ValueError(f"{block} cannot replace a convolution that pads one side more than the other: {host}")
    return tuple(span // 2 for span in spans)
