"""A stage of units that can be undone, so that training keeps the memory of one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide
from blockyard.blocks.convolutions.inverted_residual import InvertedResidual
from blockyard.blocks.reversible import Step, run, undo
from blockyard.blocks.stages.units import channels_into, units_of


class ReversibleStage(Block):
    """y₁ = x₁ + F(x₂), y₂ = x₂ + G(y₁) of the halves of the channels, again and again with other F and G.

    F and G are what a block adds to its input; of one without a way past it, such as a mixer, what it gives. From y₁
    and y₂ alone follow x₂ = y₂ - G(y₁) and x₁ = y₁ - F(x₂): going backward, each map is computed again, and what is
    kept does not grow with the depth; see :func:`blockyard.blocks.reversible.run`.

    Args:
        channels: Channels of the stage's input; an even number, or that of the host's first unit is.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        depth: Pairs of F and G; None is one for each unit of the host but the first, and two without a host.
        unit: What makes F and G of half of the channels: ``(channels, spatial_dims) -> block``.
        recompute: Whether maps are computed again in training; if not, autograd keeps them, and nothing else changes.
        host: The stage that is replaced; ``plug`` hands it over. Its first unit, which may change the shape, stays.

    Raises:
        ValueError: If the channels are odd, there is no pair, or the host runs no units one after another.
    """

    slot: ClassVar[Slot] = "units"
    paper: ClassVar[str] = (
        "Pendse et al., Memory Efficient 3D U-Net with Reversible Mobile Inverted Bottlenecks for Brain Tumor "
        "Segmentation, BrainLes 2020"
    )

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        depth: int | None = None,
        unit: Callable[[int, int], Block] = InvertedResidual,
        recompute: bool = True,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims)
        self.first: nn.Module = nn.Identity()
        width = channels
        if host is not None:
            first, *others = units_of(host, "ReversibleStage")
            self.first, depth = copy.deepcopy(first), len(others) if depth is None else depth
            width = channels_into(others[-1] if others else first, "ReversibleStage")
        depth = 2 if depth is None else depth
        if depth < 1:
            raise ValueError(f"ReversibleStage: a stage has one pair of units at least, got {depth}")
        half = divide(width, 2, "ReversibleStage", "halves")
        self.added = nn.ModuleList(Added(unit(half, spatial_dims)) for _ in range(2 * depth))
        self.identity_at_init = host is None and all(part.nothing_at_init for part in self.added)
        self.recompute = recompute

    @property
    def steps(self) -> list[Step]:
        """What is done to the two halves."""
        return [Step(i % 2, (1 - i % 2,), added) for i, added in enumerate(self.added)]

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to what the host gives; the same shape without a host."""
        halves = self.first(x).chunk(2, 1)
        return torch.cat(run(self.steps, halves, recompute=self.recompute and self.training), 1)

    def inverse(self, y: Tensor) -> Tensor:
        """What the first unit gave, or the input where there is none, of what came of it, ``(B, C, *S)`` each."""
        return torch.cat(undo(self.steps, y.chunk(2, 1)), 1)


class Added(nn.Module):
    """What a block adds to its input, ``(B, C, *S)`` to the same shape; what it gives, if it is a mixer.

    Args:
        block: The block.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block
        self.residual = block.slot not in ("mixer", "convolution", "activation")

    @property
    def nothing_at_init(self) -> bool:
        """Whether it adds nothing at first."""
        return self.residual and self.block.identity_at_init

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        y: Tensor = self.block(x)
        return y - x if self.residual else y
