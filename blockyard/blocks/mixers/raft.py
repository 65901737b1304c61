"""MLPs over the positions of one axis and a few channels."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide, positions


class RaftMixer(Block):
    """Y = M_d(… M₁(x)): an MLP along each axis in turn, that sees r channels at all n positions of a line at once.

    These r channels, a raft, lie C / r apart. All rafts, and all lines along one axis, have the same weights. RaftMLP
    has each axis in a residual branch of its own, see :class:`~blockyard.backbones.RaftMLP`.

    Maps of another size than it was made for are mixed by resized weights: as if lines were interpolated linearly to
    the first size and what comes out back to theirs.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        raft: r.
        expansion: Hidden values / r n.
        axes: Which axes of S are mixed, from 0, in this order; None is all.
        size: Positions along each axis, S; the skeletons and ``plug`` hand it over. None is 14 along each axis.

    Raises:
        ValueError: If ``raft`` does not divide ``channels``, ``size`` does not fit the rank, there is no such axis or
            none at all, or no hidden value.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = (
        "Tatsunami and Taki, RaftMLP: How Much Can Be Done Without Attention and with Less Spatial Locality?, ACCV 2022"
    )

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        raft: int = 2,
        expansion: float = 2.0,
        axes: list[int] | None = None,
        size: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims)
        divide(channels, raft, "RaftMixer", "raft")
        size = positions(size, spatial_dims, "RaftMixer")
        self.axes = tuple(range(spatial_dims) if axes is None else axes)
        if not self.axes or not set(self.axes) <= set(range(spatial_dims)):
            raise ValueError(f"RaftMixer: axes must be some of 0 to {spatial_dims - 1}, got {list(self.axes)}")
        if expansion * raft * min(size) < 1:
            raise ValueError(f"RaftMixer: expansion={expansion} leaves no hidden value of {raft * min(size)}")
        self.mlps = nn.ModuleList(LineMLP(raft, size[axis], expansion) for axis in self.axes)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        for axis, mlp in zip(self.axes, self.mlps, strict=True):
            x = mlp(x.movedim(2 + axis, -1)).movedim(-1, 2 + axis)
        return x


class LineMLP(nn.Module):
    """An MLP of rafts along the last axis, ``(B, C, *S)`` to the same shape.

    Args:
        raft: Channels of a raft.
        length: Positions along the axis.
        expansion: Hidden values / those of a raft.
    """

    def __init__(self, raft: int, length: int, expansion: float) -> None:
        super().__init__()
        self.raft, self.length, width = raft, length, raft * length
        self.fc1 = nn.Linear(width, int(expansion * width))
        self.fc2 = nn.Linear(int(expansion * width), width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the positions and channels of each raft of ``(B, C, *S)``."""
        rafts = x.unflatten(1, (self.raft, -1)).movedim(1, -2)
        weight1, weight2, bias2 = self.at(x.shape[-1])
        hidden = F.gelu(F.linear(rafts.flatten(-2), weight1, self.fc1.bias))
        mixed = F.linear(hidden, weight2, bias2).unflatten(-1, (self.raft, -1))
        return mixed.movedim(-2, 1).flatten(1, 2)

    def at(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """The first weight ``(hidden, r n)``, the second ``(r n, hidden)`` and its bias for an axis of n positions."""
        weight1, weight2, bias2 = self.fc1.weight, self.fc2.weight, self.fc2.bias
        if length == self.length:
            return weight1, weight2, bias2
        there, back = (interpolation(*sizes, weight1) for sizes in ((length, self.length), (self.length, length)))
        return (
            (weight1.unflatten(1, (self.raft, -1)) @ there).flatten(1),
            (back @ weight2.unflatten(0, (self.raft, -1))).flatten(0, 1),
            (bias2.unflatten(0, (self.raft, -1)) @ back.t()).flatten(),
        )


def interpolation(before: int, after: int, like: Tensor) -> Tensor:
    """What interpolates linearly from so many positions to others, ``(after, before)``, rows of sum one.

    Fewer are each a mean over what they stand for, so that every position counts.

    Args:
        before: Positions that there are.
        after: Positions that there are to be.
        like: Of which dtype and device, any shape.
    """
    kind = torch.promote_types(like.dtype, torch.float32)
    source, target = ((torch.arange(n, dtype=kind, device=like.device) + 0.5) / n for n in (before, after))
    weights = (1 - torch.sym_min(before, after) * (source - target[:, None]).abs()).clamp_min(0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)
