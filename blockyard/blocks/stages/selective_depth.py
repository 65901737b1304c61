"""Selective depth attention: a stage gives a mixture of what all of its units give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.channels.squeeze_excitation import rescale
from blockyard.blocks.stages.units import UnitWrapper


class SelectiveDepth(UnitWrapper):
    """Y = Σ aᵢ · uᵢ over the outputs u₁ … uₘ of the stage's units; each channel has weights aᵢ that sum to 1.

    The weights come from the mean v over positions of Σ uᵢ: aᵢ = softmaxᵢ(Vᵢ relu(norm(W v)) + bᵢ). The units run one
    after another as ever. The paper takes the sums of a ResNet's units before their ReLU and ends in ReLU; here they
    are taken as the units give them, and nothing is added where the network has no ReLU itself: the same in shape and
    parameters, and for units that end without one, such as PreResNet's.

    Args:
        channels: Channels C of the map that the stage gives.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C over the d channels of the hidden layer.
        least: Smallest d.
        host: The stage; ``plug`` hands it over.

    Raises:
        ValueError: If the host does not run two units at least one after another, or ``reduction`` or ``least`` is not
            positive.
    """

    paper: ClassVar[str] = (
        "Guo et al., SDA-xNet: Selective Depth Attention Networks for Adaptive Multi-scale Feature Representation, "
        "arXiv 2022"
    )

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        reduction: int = 16,
        least: int = 64,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        assert host is not None
        if min(reduction, least) < 1:
            raise ValueError(f"SelectiveDepth: reduction and least must be at least 1, got {reduction} and {least}")
        depth = len(self.units(host))
        if depth < 2:
            raise ValueError("SelectiveDepth chooses among the units of a stage, and this one has a single unit")
        hidden = max(channels // reduction, least)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.norm = VectorNorm(hidden)
        self.excite = nn.ModuleList(nn.Linear(hidden, channels) for _ in range(depth))

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to the shape that the stage gives, ``(B, C, *S)``.

        Raises:
            ValueError: If the units give maps of different shapes, or one changes its input in place.
        """
        maps: list[Tensor] = []
        for unit in self.units(host):
            x = self.run(unit, x) if maps else unit(x)
            maps.append(x)
        if any(one.shape != x.shape for one in maps):
            shapes = " and ".join(dict.fromkeys(str(tuple(one.shape)) for one in maps))
            raise ValueError(f"SelectiveDepth mixes maps of one shape, and the units give {shapes}")
        weights = self.weights(maps).to(x.dtype)
        mixture = rescale(maps[0], weights[:, 0])
        for depth, one in enumerate(maps[1:], 1):
            mixture = mixture + rescale(one, weights[:, depth])
        return mixture

    def weights(self, maps: Sequence[Tensor]) -> Tensor:
        """The weight of each of m maps ``(B, C, *S)`` in each channel, ``(B, m, C)``; over m they sum to 1."""
        means = torch.stack([one.flatten(2).mean(2) for one in maps]).sum(0)  # their sum, without a map of it
        hidden = self.norm(self.squeeze(means)).relu()
        return torch.stack([excite(hidden) for excite in self.excite], 1).softmax(1)


class VectorNorm(nn.BatchNorm1d):
    """Batch norm of vectors ``(B, d)``; of fewer than two vectors by the running statistics, also in training.

    One vector has no variance, and one sample a process, or left over at the end of an epoch, must not end a training.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, d)``."""
        if self.training and x.shape[0] < 2:  # asked of the batch last: an exported graph has any
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)
