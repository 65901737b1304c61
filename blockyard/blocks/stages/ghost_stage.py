"""A stage most of whose units run on a part of the channels; what the others hold is made of the first unit's map."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.blocks.stages.selective_depth import VectorNorm
from blockyard.blocks.stages.units import channels_into, units_of

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


class GhostStage(Block):
    """Y = L([eₙ, relu(BN(W g) + m)]), [e₀, g] = F(x), eᵢ = Uᵢ(eᵢ₋₁): all units but the first and the last are narrow.

    g are the channels that the narrow units U leave out, and m = BN(V' relu(BN(V v))) one number for each of them, of
    the means v over positions of F(x), e₁ … eₙ. F and L are the stock's, with their weights; each U is its unit with a
    part of the channels everywhere, drawn anew. Groups of a convolution become narrower by a quarter, as in the paper's
    code.

    Args:
        channels: Channels of the stage's input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        ratio: Part of the channels that g has.
        host: The stage that is replaced; ``plug`` hands it over. Without one, four units of two convolutions each.

    Raises:
        ValueError: If the host runs fewer than three units one after another, a unit has weights in anything else than
            convolutions and batch norms, or ``ratio`` leaves one of the parts without channels.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "units"
    paper: ClassVar[str] = (
        "Han et al., GhostNets on Heterogeneous Devices via Cheap Operations, International Journal of Computer Vision "
        "2022"
    )

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, ratio: float = 0.5, host: nn.Module | None = None
    ) -> None:
        super().__init__(channels, spatial_dims)
        stage = nn.Sequential(*(Unit(channels, spatial_dims) for _ in range(4))) if host is None else host
        units = units_of(stage, "GhostStage")
        if len(units) < 3:
            raise ValueError(f"GhostStage needs three units at least, and this stage has {len(units)}")
        first, *between, last = copy.deepcopy(units)
        if not 0 < ratio < 1:
            raise ValueError(f"GhostStage: ratio must be between 0 and 1, got {ratio}")
        width, narrower = channels_into(last, "GhostStage"), _narrower(between[0], ratio)
        self.narrow = narrower(width)
        rest = width - self.narrow
        self.first, self.last = first, last
        self.between = nn.ModuleList(_narrowed(unit, narrower) for unit in between)
        self.cheap = nn.Sequential(
            CONVOLUTIONS[spatial_dims](rest, rest, 1, bias=False), BATCH_NORMS[spatial_dims](rest)
        )
        self.mix = nn.Sequential(
            nn.Linear(width + self.narrow * len(between), rest, bias=False),
            VectorNorm(rest),
            nn.ReLU(inplace=True),
            nn.Linear(rest, rest, bias=False),
            VectorNorm(rest),
        )

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to what the host gives; the same shape without a host."""
        whole = self.first(x)
        part, rest = whole.split([self.narrow, whole.shape[1] - self.narrow], 1)
        means = [whole.flatten(2).mean(2)]
        for unit in self.between:
            part = unit(part)
            means.append(part.flatten(2).mean(2))
        added = self.mix(torch.cat(means, 1))
        ghosts = (self.cheap(rest) + added[(..., *(None,) * self.spatial_dims)].to(x.dtype)).relu()
        return self.last(torch.cat([part, ghosts.to(part.dtype)], 1))


class Unit(nn.Module):
    """relu(x + BN(K' ∗ relu(BN(K ∗ x)))), ``(B, C, *S)`` to the same shape: a basic unit of a ResNet."""

    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        conv, norm = CONVOLUTIONS[spatial_dims], BATCH_NORMS[spatial_dims]
        self.conv1 = conv(channels, channels, 3, padding=1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = conv(channels, channels, 3, padding=1, bias=False)
        self.bn2 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map a map to one of the same shape."""
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).clamp_min(0)


def _narrower(unit: nn.Module, ratio: float) -> Callable[[int], int]:
    """How many of n channels a narrow unit has: whole groups of its convolutions that have groups, if there is room."""
    grouped = (m for m in unit.modules() if isinstance(m, Convolution) and 1 < m.groups < m.in_channels)
    step = max((_group(module) for module in grouped), default=1)

    def narrower(channels: int) -> int:
        kept = int(channels * (1 - ratio))
        if not kept:
            raise ValueError(f"GhostStage: ratio={ratio} leaves none of {channels} channels")
        return int(channels * (1 - ratio) / step) * step or kept

    return narrower


def _group(conv: Convolution) -> int:
    """Channels of a narrow convolution's group."""
    return max(1, int(0.75 * (conv.in_channels // conv.groups)))


def _narrowed(unit: nn.Module, narrower: Callable[[int], int]) -> nn.Module:
    """The same unit with fewer channels throughout, its weights drawn anew.

    Raises:
        ValueError: If it has weights in anything but convolutions and batch norms.
    """
    for module in unit.modules():
        if isinstance(module, Convolution):
            if module.groups > 1:
                module.groups = max(1, narrower(module.in_channels) // _group(module))
            module.in_channels, module.out_channels = narrower(module.in_channels), narrower(module.out_channels)
            shape = (module.out_channels, module.in_channels // module.groups, *module.weight.shape[2:])
            module.weight = nn.Parameter(module.weight.new_empty(shape))
            if module.bias is not None:
                module.bias = nn.Parameter(module.bias.new_empty(module.out_channels))
            module.reset_parameters()
        elif isinstance(module, BatchNorm):
            module.num_features = narrower(module.num_features)
            for name in ("weight", "bias"):
                if getattr(module, name) is not None:
                    setattr(module, name, nn.Parameter(getattr(module, name).new_empty(module.num_features)))
            for name in ("running_mean", "running_var"):
                if getattr(module, name) is not None:
                    setattr(module, name, getattr(module, name).new_empty(module.num_features))
            module.reset_parameters()
        elif next(module.parameters(recurse=False), None) is not None:
            raise ValueError(f"GhostStage narrows convolutions and batch norms; a unit has a {type(module).__name__}")
    return unit
