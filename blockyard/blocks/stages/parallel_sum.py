"""A stage whose residual units all read the same map: the stack without its higher-order terms."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from blockyard.blocks.stages.units import UnitWrapper


class ParallelSum(UnitWrapper):
    """Y = x + Σ Fᵢ(x) instead of the stage's (I + Fₙ) … (I + F₁) x: the units side by side, with the same weights.

    Fᵢ(x) is what the i-th unit adds, ``unit(x) - x``. A first unit that changes channels or size adds to nothing: it
    runs before the others, and x is what it gives. With one further unit, nothing changes; with F of size ε, the
    difference from the stack is of size ε². Units must be residual: without weights, something of x is left. Behind
    units that end in ReLU, as those of a ResNet, x + Σ Fᵢ(x) can be negative where their stack cannot.

    Args:
        channels: Channels C of the map that the stage gives.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        host: The stage; ``plug`` hands it over.

    Raises:
        ValueError: If the host does not run units one after another, or is plugged around and one is not residual.
    """

    paper: ClassVar[str] = "Bermeitinger et al., Make Deep Networks Shallow Again, KDIR 2023"

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to the shape that the stage gives, ``(B, C, *S)``.

        Raises:
            ValueError: If a unit other than the first changes the shape, or one changes its input in place.
        """
        first, *others = self.units(host)
        y = self.run(first, x)
        if y.shape != x.shape:
            x = y
            if not others:
                return y
            first, *others = others
            y = self.run(first, x)
        for unit in others:
            # the difference first: what a unit leaves as it is adds exactly nothing
            y = y + (self._kept(self.run(unit, x), x) - x)
        return self._kept(y, x)

    def check(self, host: nn.Module, x: Tensor) -> None:
        """Refuse also a unit that is no residual one.

        Raises:
            ValueError: If nothing of what it is given is left when all of its weights are 0.
        """
        super().check(host, x)
        first, *others = self.units(host)
        y = first(x)
        for unit in others if y.shape != x.shape else (first, *others):
            if not _has_shortcut(unit, y):
                kind = type(unit).__name__
                raise ValueError(
                    f"{type(self).__name__} adds up what residual units add, and {kind} is none: without its weights "
                    "nothing is left of its input"
                )

    def _kept(self, y: Tensor, x: Tensor) -> Tensor:
        if y.shape != x.shape:
            raise ValueError(
                f"{type(self).__name__}: only the first unit may change the shape; one takes {tuple(x.shape)} to "
                f"{tuple(y.shape)}"
            )
        return y


def _has_shortcut(unit: nn.Module, like: Tensor) -> bool:
    """Whether a unit whose weights are all 0 tells two maps ``(B, C, *S)`` apart."""
    bare = {name: torch.zeros_like(weight) for name, weight in unit.named_parameters()}
    one = torch.arange(like.numel(), dtype=like.dtype, device=like.device).sin().view_as(like)
    return not torch.equal(functional_call(unit, bare, (one,)), functional_call(unit, bare, (one + 1,)))
