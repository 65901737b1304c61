"""A convolution whose weights are learned functions, sums over several kinds of which one is kept in the end."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Mergeable
from blockyard.blocks.convolutions.convolution import ConvolutionSlot, convolve, init_like_convolution
from blockyard.blocks.convolutions.function_bases import BASES, LEAST


class SelectableKAN(ConvolutionSlot, Mergeable):
    """Y_o = Σ_{c, j} φ_{ocj}(x_{c, j}) of the inputs of a kernel, φ = Σ_p g_p Σ_i w_{pi} b_{pi} ∘ tanh, g = softmax(a).

    Where a convolution multiplies by a weight, a function is learned: a Kolmogorov–Arnold network on unfolded patches.
    Each is a gated sum over a pool of kinds p: B-splines, Chebyshev polynomials, wavelets and radial functions. The
    gates are those of all edges of the block, so that of what is not kept nothing is computed. :meth:`keep` selects one
    kind, whose gate is 1 from then on; :class:`~blockyard.training.ActivationSelection` does so while it trains.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        pool: Kinds of functions to select from.
        count: Functions of each kind.
        kernel_size: Taps along each axis where there is no host; 1 makes it a mixer of channels, in place of an MLP.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If a kind is not known or there is none, there are too few functions, or ``kernel_size`` is not odd.
    """

    paper: ClassVar[str] = "Yang et al., Activation Space Selectable Kolmogorov-Arnold Networks, arXiv 2024"
    kept: Tensor
    """Which of the pool is kept, its number; −1 before one is."""

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        pool: Sequence[str] = tuple(BASES),
        count: int = 6,
        kernel_size: int = 3,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        if not pool or not set(pool) <= set(BASES) or len(set(pool)) < len(pool):
            raise ValueError(f"SelectableKAN: pool must be some of {', '.join(BASES)}, each once, got {list(pool)}")
        if count < LEAST or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"SelectableKAN: count must be at least {LEAST} and kernel_size odd, got {count} and {kernel_size}"
            )
        if host is None:
            taps, half = ((number,) * spatial_dims for number in (kernel_size, kernel_size // 2))
            self.geometry = replace(self.geometry, kernel_size=taps, padding=half)
        g = self.geometry
        self.pool, self.count = tuple(pool), count
        shape = g.out_channels, g.in_channels // g.groups, count, *g.kernel_size
        self.weights = nn.ParameterList(torch.empty(shape) for _ in pool)
        self.bias = nn.Parameter(torch.empty(g.out_channels)) if g.bias else None
        for weight in self.weights:
            init_like_convolution(weight, self.bias, g.fan_in * count)
        self.gates = nn.Parameter(torch.zeros(len(pool)))
        self.register_buffer("kept", torch.tensor(-1))
        self.only: int | None = None

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the host gives; the same shape without a host."""
        g, chosen = self.geometry, range(len(self.pool)) if self.only is None else [self.only]
        padding = [number for size in reversed(g.padding) for number in (size, size)]
        inputs = F.pad(x, padding).to(torch.promote_types(x.dtype, torch.float32)).tanh()
        features = torch.cat([BASES[self.pool[p]](inputs, self.count) for p in chosen], 2).flatten(1, 2)
        weights = list(self.weights)
        if self.only is None:
            gated = torch.cat([gate * one for gate, one in zip(self.gates.softmax(0), weights, strict=True)], 2)
        else:
            gated = weights[self.only]
        like = replace(g, padding=(0,) * len(g.padding))
        y = convolve(features.to(x.dtype), gated.flatten(1, 2), self.bias, like)
        return y if self.only is None or not torch.is_grad_enabled() else y + self._nothing().to(y.dtype)

    @property
    def selected(self) -> str | None:
        """The kind that is kept, if one is."""
        return None if self.only is None else self.pool[self.only]

    @torch.no_grad()
    def keep(self, kind: str | None = None) -> str:
        """Keep one kind of functions, with a gate of 1; the others are not computed any more.

        Args:
            kind: One of the pool; None is that of the largest gate.

        Returns:
            The kind.

        Raises:
            ValueError: If there is no such kind in the pool.
        """
        if kind is not None and kind not in self.pool:
            raise ValueError(f"SelectableKAN: there is no {kind} in {', '.join(self.pool)}")
        self.only = int(self.gates.argmax()) if kind is None else self.pool.index(kind)
        self.kept.fill_(self.only)
        return self.pool[self.only]

    def resting(self) -> list[nn.Parameter]:
        """The parameters that have no effect any more: gates and weights of what is not kept."""
        if self.only is None:
            return []
        return [self.gates, *(weight for p, weight in enumerate(self.weights) if p != self.only)]

    @torch.no_grad()
    def merged(self) -> SelectableKAN:
        """The block with a pool of the kept kind alone; before one is kept, a copy."""
        block = copy.deepcopy(self)
        if (only := self.only) is not None:
            block.pool, block.only = (self.pool[only],), None
            block.weights = nn.ParameterList([block.weights[only]])
            block.gates = nn.Parameter(self.gates.new_zeros(1))
            block.kept.fill_(-1)
        return block

    def _nothing(self) -> Tensor:
        """Zero, of what is not kept: several processes wait for a gradient of every parameter."""
        return 0 * torch.stack([parameter.sum() for parameter in self.resting()]).sum()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.only = None if self.kept < 0 else int(self.kept)
